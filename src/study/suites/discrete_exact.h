// The exact gradient of a layer of Bernoulli units, and the exact variance of its estimators.
#pragma once
#include <optional>
#include <vector>

#include "study/suites/variance.h"

namespace cuvae::bench {

/// Sums over all 2^L values of z, for a model of one layer of L Bernoulli units and a batch. f is the cost log p(x, z)
/// - log q(z|x), v = z - p the score of the logits, J the Jacobian of an example's logits by the encoder's parameters.
class ExactDiscrete {
 public:
  static constexpr Index kMostUnits = 12;

  /// x [B, D] lies in the backend's memory. Throws Error for a model with more units.
  ExactDiscrete(const Vae& vae, ConstView x);

  /// The gradient of -mean(ELBO) by the encoder's parameters, without noise.
  const GradientDraws& gradient() const { return gradient_; }
  /// The sum of the variances of the encoder's parameters with K samples, for score, score-mean and rloo:
  ///   score      (1/K) (E[f^2 |Jv|^2] - |J E[f v]|^2);
  ///   score-mean the same with f - b, b the mean of f over the batch and Var[b] that of the running mean;
  ///   rloo       (1/K) (E[(f - E f)^2 |Jv|^2] - |J E[f v]|^2) + (Var[f] E[|Jv|^2] + |J E[f v]|^2) / (K (K - 1)).
  /// Each is summed over the examples and divided by B^2.
  std::optional<double> variance(const Variant& variant, Index samples) const;

 private:
  struct Example {
    double cost = 0, cost_variance = 0;                    // E f, Var f
    double norm = 0, cost_norm = 0, cost_square_norm = 0;  // E of |Jv|^2, f |Jv|^2, f^2 |Jv|^2
    double squared_mean = 0;                               // |J E[f v]|^2
    // Of one sample whose cost is less a baseline.
    double less(double b) const { return cost_square_norm - 2 * b * cost_norm + b * b * norm - squared_mean; }
  };
  std::vector<Example> examples_;
  GradientDraws gradient_;
};

}  // namespace cuvae::bench
