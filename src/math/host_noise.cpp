#include "math/host_noise.h"

#include "math/elementary.h"
#include "math/philox.h"

namespace cuvae {

std::vector<float> standard_normals(std::uint64_t seed, Stream stream, std::size_t count) {
  return standard_normals(seed, stream, 0, 0, count);
}

std::vector<float> standard_normals(std::uint64_t seed, Stream stream, std::uint32_t step, std::uint64_t first,
                                    std::size_t count) {
  std::vector<float> values(count);
  const std::uint64_t end = first + count;
  for (std::uint64_t i = first - first % 2; i < end; i += 2) {
    const math::Words words = math::philox(seed, static_cast<std::uint32_t>(stream), step, i / 4);
    float pair[2];
    math::normal_pair(math::uniform(words.v[i % 4]), math::uniform(words.v[i % 4 + 1]), pair[0], pair[1]);
    for (std::uint64_t j = i; j < i + 2; ++j)
      if (j >= first && j < end) values[j - first] = pair[j - i];
  }
  return values;
}

}  // namespace cuvae
