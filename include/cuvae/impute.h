// Imputation: missing values from the model and the values that are observed, by importance sampling (Mattei and
// Frellsen 2019).
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/bound.h"

namespace cuvae {

struct ImputeOptions {
  Index samples = 1000;  ///< K, latent samples per example, up to 2147483647
  /// M, the completed copies of multiple imputation; 0: single imputation, one copy.
  Index draws = 0;
  Index batch = 0;  ///< examples per batch, as in BoundOptions
  Binarize binarize = Binarize::stochastic;
  std::uint64_t seed = 0;
};

/// Values may be NaN or infinite where the model's are; the caller must check.
struct Imputation {
  Index examples = 0;    ///< N
  Index incomplete = 0;  ///< the examples with missing values
  Index missing = 0;     ///< the missing values of one copy
  /// [N, D], or with draws [M, N, D], in the units of Dataset::row(). Values that are not missing are those of the
  /// data.
  std::vector<float> completed;
  /// Over the incomplete examples, the effective sample size of the weights: see ExampleBound. NaN where there are
  /// none.
  double mean_effective = 0, least_effective = 0;
};

/// The missing values of each example from samples z_k ~ q(z|x_obs) with the weights w_k = p(x_obs|z_k) p(z_k) /
/// q(z_k|x_obs), normalized to u_k = w_k / sum_j w_j:
///   single imputation: E[x_mis | x_obs], estimated by sum_k u_k E[x_mis | z_k]; its error falls with K;
///   multiple imputation: each copy draws k with the probabilities u_k, then x_mis ~ p(x|z_k) (sampling importance
///   resampling). These are draws of p(x_mis | x_obs) in the limit of large K.
/// Memory does not grow with K. The samples have the noise of evaluate_bound() of the incomplete examples. Throws Error
/// if the model takes no missing values, if data and model do not fit, and for options out of range.
Imputation impute(const Vae& vae, const Dataset& data, const ImputeOptions& options = {});

}  // namespace cuvae
