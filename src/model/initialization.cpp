#include "model/initialization.h"

#include <cmath>

#include "math/elementary.h"
#include "math/philox.h"

namespace cuvae {

void draw_weights(const Mlp& mlp, Initialization kind, std::uint64_t seed, InitialNetwork network,
                  std::vector<float>& arena) {
  for (const Parameter& w : mlp.weights()) {
    const double fan = static_cast<double>(kind == Initialization::glorot ? w.rows + w.cols : w.cols);
    const double bound = std::sqrt(6.0 / fan);
    for (Index i = w.offset; i < w.offset + w.size(); ++i) {
      const std::uint32_t word = math::philox_word(seed, static_cast<std::uint32_t>(Stream::initialization),
                                                   static_cast<std::uint32_t>(network), static_cast<std::uint64_t>(i));
      arena[static_cast<std::size_t>(i)] = static_cast<float>(((word + 0.5) * 0x1p-31 - 1.0) * bound);
    }
  }
}

namespace {
std::uint32_t word_of_prior(std::uint64_t seed, Index i) {
  return math::philox_word(seed, static_cast<std::uint32_t>(Stream::initialization),
                           static_cast<std::uint32_t>(InitialNetwork::prior), static_cast<std::uint64_t>(i));
}
}  // namespace

void draw_normals(const Parameter& p, Index cols, std::uint64_t seed, std::vector<float>& arena) {
  for (Index row = 0; row < p.rows; ++row)
    for (Index col = 0; col < cols; ++col) {
      const Index i = p.offset + row * p.cols + col;
      float normal, other;
      math::normal_pair(math::uniform(word_of_prior(seed, 2 * i)), math::uniform(word_of_prior(seed, 2 * i + 1)),
                        normal, other);
      arena[static_cast<std::size_t>(i)] = normal;
    }
}

void draw_uniforms(const Parameter& p, std::uint64_t seed, std::vector<float>& arena) {
  for (Index i = p.offset; i < p.offset + p.size(); ++i)
    arena[static_cast<std::size_t>(i)] = math::uniform(word_of_prior(seed, i));
}

}  // namespace cuvae
