// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): random numbers as a function of seed, stream, step and index.
// Every function here is also compiled in each CPU instruction-set variant, and is therefore always inlined.
#pragma once
#include <cstdint>

#include "math/inline.h"

namespace cuvae::math {

struct Words {
  std::uint32_t v[4];
};

CUVAE_FN Words philox4x32(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, std::uint32_t k0,
                          std::uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0, b = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(b);
    c3 = static_cast<std::uint32_t>(a);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// The four words with numbers 4w .. 4w+3.
CUVAE_FN Words philox(std::uint64_t seed, std::uint32_t stream, std::uint32_t step, std::uint64_t w) {
  return philox4x32(static_cast<std::uint32_t>(w), static_cast<std::uint32_t>(w >> 32), step, stream,
                    static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
}

/// Word number `index`.
CUVAE_FN std::uint32_t philox_word(std::uint64_t seed, std::uint32_t stream, std::uint32_t step, std::uint64_t index) {
  return philox(seed, stream, step, index / 4).v[index % 4];
}

/// In (0, 1]: the largest words round up to one.
CUVAE_FN float uniform(std::uint32_t word) {
  return static_cast<float>(word) * 2.3283064365386963e-10f + 1.1641532182693481e-10f;
}

}  // namespace cuvae::math
