// Points of the latent space, [rows, L], to be decoded to pictures.
#pragma once
#include <vector>

#include "cuvae/view.h"

namespace cuvae::cli {

/// A grid over two dimensions, at equally spaced quantiles of a standard normal prior; the other dimensions are 0.
/// Dimension `across` grows to the right and `down` grows downwards (Kingma and Welling 2013, figure 4).
std::vector<float> plane_points(Index size, Index latent, Index across, Index down);

/// A row of `steps` points for each dimension in `dims`: `center`, with that dimension going from -range to range.
std::vector<float> axis_points(const std::vector<float>& center, const std::vector<Index>& dims, float range,
                               Index steps);

/// `steps` points on the line from `a` to `b`, both included.
std::vector<float> line_points(const float* a, const float* b, Index latent, Index steps);

}  // namespace cuvae::cli
