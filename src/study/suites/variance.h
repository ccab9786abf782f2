// Mean and variance of a model's gradient over many draws of its noise, with fixed parameters and a fixed batch.
#pragma once
#include "study/models.h"
#include "study/statistics.h"

namespace cuvae::bench {

/// Statistics of a slice of the gradient over independent groups of draws.
struct GradientDraws {
  Index draws = 0;
  Interval trace;                                        ///< sum of the variances of the slice's parameters
  std::vector<std::pair<std::string, Interval>> layers;  ///< the same for each array in the slice
  std::vector<std::vector<float>> means;                 ///< the mean of each group, [slice]
  std::vector<std::vector<double>> gram;                 ///< inner products of the means

  Interval norm() const { return squared_norm(gram); }
};

struct DrawLimits {
  Index most = 2000;   ///< draws
  double seconds = 1;  ///< after the least number: two draws in each of at least five groups
};

/// A slice of the arena of parameters.
struct Slice {
  Index offset = 0, size = 0;
};
Slice encoder_of(const ParameterLayout& layout);

/// The inner products of the group means of a with those of b.
std::vector<std::vector<double>> products(const std::vector<std::vector<float>>& a,
                                          const std::vector<std::vector<float>>& b);

/// Draws gradients of the trainer's model. A learned baseline must already be trained. Throws Error if a gradient is
/// not finite.
GradientDraws draw_gradients(Backend& backend, Trainer& trainer, ConstView x, Slice slice, const DrawLimits& limits);

/// The row of a variant at a point: variance, signal to noise ratio, bias and scale against the mean of `reference`,
/// which must estimate the same gradient with independent noise.
Json row_of(const Point& point, const Variant& variant, const GradientDraws& draws, const GradientDraws& reference);

/// The expected time of draw_gradients if each gradient takes so many seconds.
double draw_seconds(Estimator e, double each, const DrawLimits& limits);

}  // namespace cuvae::bench
