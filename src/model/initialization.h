// The initial weights of a network.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/mlp.h"

namespace cuvae {

/// The `step` of the noise in Stream::initialization; each network has its own.
enum class InitialNetwork : std::uint32_t { vae = 0, input_baseline = 1 };

/// Draws the weights of `mlp` and writes them to the arena. The weight at place i of the arena uses random number i.
/// Biases do not change.
void draw_weights(const Mlp& mlp, Initialization kind, std::uint64_t seed, InitialNetwork network,
                  std::vector<float>& arena);

}  // namespace cuvae
