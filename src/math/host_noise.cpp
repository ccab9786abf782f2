#include "math/host_noise.h"

#include "math/elementary.h"
#include "math/philox.h"

namespace cuvae {

std::vector<float> standard_normals(std::uint64_t seed, Stream stream, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; i += 2) {
    const math::Words words = math::philox(seed, static_cast<std::uint32_t>(stream), 0, i / 4);
    float pair[2];
    math::normal_pair(math::uniform(words.v[i % 4]), math::uniform(words.v[i % 4 + 1]), pair[0], pair[1]);
    for (std::size_t j = i; j < i + 2 && j < count; ++j) values[j] = pair[j - i];
  }
  return values;
}

}  // namespace cuvae
