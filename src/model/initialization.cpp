#include "model/initialization.h"

#include <cmath>

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

}  // namespace cuvae
