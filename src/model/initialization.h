// The weights that a network starts with.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/mlp.h"

namespace cuvae {

/// Which network's numbers of Stream::initialization: the `step` of its noise.
enum class InitialNetwork : std::uint32_t { vae = 0, input_baseline = 1 };

/// Draws the weights of `mlp` into its places of the arena; weight i of that has random number i. Biases stay.
void draw_weights(const Mlp& mlp, Initialization kind, std::uint64_t seed, InitialNetwork network,
                  std::vector<float>& arena);

}  // namespace cuvae
