// Mean and variance of a model's gradient over many draws of its noise, at fixed parameters and a fixed batch.
#pragma once
#include "study/models.h"
#include "study/statistics.h"

namespace cuvae::bench {

/// A slice of the gradient over independent groups of draws.
struct GradientDraws {
  Index draws = 0;
  Interval trace;                                        ///< sum of the variances of the slice's parameters
  std::vector<std::pair<std::string, Interval>> layers;  ///< the same of each array in it
  std::vector<std::vector<float>> means;                 ///< of each group, [slice]
  std::vector<std::vector<double>> gram;                 ///< inner products of the means

  Interval norm() const { return squared_norm(gram); }
};

struct DrawLimits {
  Index most = 2000;   ///< draws
  double seconds = 1;  ///< beyond the least number: two draws in each of at least five groups
};

/// Of the arena of parameters.
struct Slice {
  Index offset = 0, size = 0;
};
Slice encoder_of(const ParameterLayout& layout);

/// Every inner product of a's groups' means with b's.
std::vector<std::vector<double>> products(const std::vector<std::vector<float>>& a,
                                          const std::vector<std::vector<float>>& b);

/// Of a trainer at its model; a baseline that learns has learned. Throws Error where the gradient is not finite.
GradientDraws draw_gradients(Backend& backend, Trainer& trainer, ConstView x, Slice slice, const DrawLimits& limits);

/// How long draw_gradients takes, at so many seconds each.
double draw_seconds(Estimator e, double each, const DrawLimits& limits);

}  // namespace cuvae::bench
