// Mean and variance of a model's gradient over many draws of its noise, at fixed parameters and a fixed batch.
#pragma once
#include "estimators/models.h"
#include "estimators/statistics.h"

namespace cuvae::bench {

/// The encoder's gradient over independent groups of draws.
struct GradientDraws {
  Index draws = 0;
  Interval trace;                                        ///< sum of the variances of the encoder's parameters
  std::vector<std::pair<std::string, Interval>> layers;  ///< the same of each of its arrays
  std::vector<std::vector<float>> means;                 ///< of each group, [encoder's parameters]
  std::vector<std::vector<double>> gram;                 ///< inner products of the means

  Interval norm() const { return squared_norm(gram); }
};

struct DrawLimits {
  Index most = 2000;   ///< draws
  double seconds = 1;  ///< beyond the least number: two draws in each of at least five groups
};

/// Every inner product of a's groups' means with b's.
std::vector<std::vector<double>> products(const std::vector<std::vector<float>>& a,
                                          const std::vector<std::vector<float>>& b);

/// Of a trainer at its model; a baseline that learns has learned. Throws Error where the gradient is not finite.
GradientDraws draw_gradients(Backend& backend, Trainer& trainer, ConstView x, const DrawLimits& limits);

/// Gradients thrown away first, for a running mean to come to rest.
Index settling_draws(Estimator e);
/// How long draw_gradients takes, at so many seconds each.
double draw_seconds(Estimator e, double each, const DrawLimits& limits);

}  // namespace cuvae::bench
