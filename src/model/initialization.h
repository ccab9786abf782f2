// The initial weights of a network.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/mlp.h"

namespace cuvae {

/// The `step` of the noise in Stream::initialization; each network has its own.
enum class InitialNetwork : std::uint32_t { vae = 0, input_baseline = 1, prior = 2 };

/// Draws the weights of `mlp` and writes them to the arena. The weight at place i of the arena uses random number i.
/// Biases do not change.
void draw_weights(const Mlp& mlp, Initialization kind, std::uint64_t seed, InitialNetwork network,
                  std::vector<float>& arena);

/// Draws standard normals for the first `cols` columns of p, or uniforms in (0, 1) for all of it, as
/// InitialNetwork::prior.
void draw_normals(const Parameter& p, Index cols, std::uint64_t seed, std::vector<float>& arena);
void draw_uniforms(const Parameter& p, std::uint64_t seed, std::vector<float>& arena);

}  // namespace cuvae
