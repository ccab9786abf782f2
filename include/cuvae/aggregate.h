// The aggregate posterior q(z) = (1/N) sum_n q(z|x_n) of N examples, and the two parts of the KL: KL(q(z|x) || p(z)),
// on average over the examples, = I_q(x; z) + KL(q(z) || p(z)). Hoffman and Johnson 2016.
#pragma once
#include "cuvae/evaluate.h"

namespace cuvae {

/// In nats, from the K samples of each example. Values may be NaN or infinite; the caller must check.
struct AggregateEvaluation {
  Index examples = 0, samples = 0;
  /// E log q(z|x) - log q(z), the index of an example being x: at most log N.
  double mutual_information = 0;
  double marginal_kl = 0;  ///< E log q(z) - log p(z)
  double kl = 0;           ///< their sum, which is estimated from the same samples
  /// Standard errors over the examples, with q(z) held fixed.
  double mutual_information_error = 0, marginal_kl_error = 0;
};

/// Of all rows of the data. q(z) is the exact mean of the N densities, so the time grows as N^2 K L; the memory holds
/// 2 L numbers for each example. Throws Error as evaluate() does, and unless the model has one layer of Gaussian
/// latents.
AggregateEvaluation evaluate_aggregate(const Vae& vae, const Dataset& data, const EvaluateOptions& options = {});

/// Of some rows of the data.
AggregateEvaluation evaluate_aggregate(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                                       const EvaluateOptions& options);

}  // namespace cuvae
