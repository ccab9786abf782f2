#include "cli/arguments/latents.h"

#include <cmath>

namespace cuvae::cli {
namespace {

// The x with P(X <= x) = p, by bisection: slow, exact, and called a few dozen times.
double normal_quantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return low;
}

}  // namespace

std::vector<float> plane_points(Index size, Index latent, Index across, Index down) {
  std::vector<float> z(static_cast<std::size_t>(size * size * latent));
  const auto quantile = [&](Index i) {
    return static_cast<float>(normal_quantile((static_cast<double>(i) + 0.5) / static_cast<double>(size)));
  };
  for (Index row = 0; row < size; ++row)
    for (Index column = 0; column < size; ++column) {
      float* const point = z.data() + (row * size + column) * latent;
      point[across] = quantile(column);
      point[down] = quantile(row);
    }
  return z;
}

std::vector<float> axis_points(const std::vector<float>& center, const std::vector<Index>& dims, float range,
                               Index steps) {
  std::vector<float> z;
  for (const Index dim : dims)
    for (Index step = 0; step < steps; ++step) {
      z.insert(z.end(), center.begin(), center.end());
      const float t = static_cast<float>(step) / static_cast<float>(steps - 1);
      z[z.size() - center.size() + static_cast<std::size_t>(dim)] = range * (2 * t - 1);
    }
  return z;
}

std::vector<float> line_points(const float* a, const float* b, Index latent, Index steps) {
  std::vector<float> z;
  for (Index step = 0; step < steps; ++step) {
    const float t = static_cast<float>(step) / static_cast<float>(steps - 1);
    for (Index l = 0; l < latent; ++l) z.push_back((1 - t) * a[l] + t * b[l]);
  }
  return z;
}

}  // namespace cuvae::cli
