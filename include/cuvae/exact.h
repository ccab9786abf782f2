// Exact values of models with few Bernoulli units, by sums over all values of the latents.
#pragma once
#include "cuvae/evaluate.h"

namespace cuvae {

/// The most units that the layers of a model may have together.
inline constexpr Index kMostExactUnits = 20;

struct ExactOptions {
  Index batch = 500;  ///< examples per batch
  Binarize binarize = Binarize::stochastic;
  std::uint64_t seed = 0;  ///< of the binarization
};

/// Of one example, in nats, of data in their own units. The sums over z are in double precision, the log-densities of
/// the data as in evaluate().
struct ExactExample {
  double log_p = 0;           ///< log p(x) = log sum_z p(x, z)
  double elbo = 0;            ///< sum_z q(z|x) (log p(x, z) - log q(z|x)) = log p(x) - KL(q(z|x) || p(z|x))
  double reconstruction = 0;  ///< sum_z q(z|x) log p(x|z)
};

/// Averages over the examples. Values may be NaN or infinite; the caller must check.
struct ExactEvaluation {
  Index examples = 0;
  double log_p = 0, elbo = 0, reconstruction = 0;
  double kl = 0;                                                   ///< KL(q(z|x) || p(z)) = reconstruction - elbo
  double posterior_kl = 0;                                         ///< KL(q(z|x) || p(z|x)) = log_p - elbo
  double log_p_error = 0, elbo_error = 0, posterior_kl_error = 0;  ///< standard errors over the examples
  double bits_per_dim = 0;                                         ///< -log_p / (D ln 2)
  std::vector<ExactExample> of_examples;                           ///< [N], in the order of the rows
};

/// Of all rows of the data. The time grows as N 2^(L_1), and as 2^(L_t + L_{t+1}) with the layers above. Throws Error
/// as evaluate() does, for latents that are not Bernoulli, for more than kMostExactUnits units, and for a conditional
/// model.
ExactEvaluation evaluate_exact(const Vae& vae, const Dataset& data, const ExactOptions& options = {});

/// Of some rows of the data.
ExactEvaluation evaluate_exact(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                               const ExactOptions& options);

}  // namespace cuvae
