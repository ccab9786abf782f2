// The ops of latents that are Bernoulli units, z in {0, 1}: q(z|x) = prod_l p_l^z_l (1 - p_l)^(1 - z_l), p = sigmoid of
// logits from a network or of parameters. Notation and rules are those of cuvae/ops.h, which includes this header.
// Logits may have any finite size: log-probabilities and derivatives start from them, without overflow or cancellation.
// A logit that is NaN makes what depends on it NaN.
#pragma once
#include "cuvae/types.h"
#include "cuvae/view.h"

namespace cuvae {

class Backend;

/// z = 1 where u <= sigmoid(logit), else 0; u is the uniform with index ((noise.first_row + b) * K + k) * L + l, or
/// with noise.antithetic for odd k 1 - u of k - 1. A unit of a sigmoid belief network: Neal 1992; Mnih and Gregor 2014.
struct SampleBernoulli {
  static constexpr const char* name = "sample_bernoulli";
  ConstView logits = {};  ///< [B, L]
  Noise noise = {};
  View z = {};                ///< [R, L] [A]
  double* moments = nullptr;  ///< [1 + 4L] or null: the rows sigmoid(logits) | logits are merged into them, see Moments
  View log_q = {};            ///< [R, 1] = log q(z|x) = sum_l z logit - softplus(logit); may be empty
  View score_norm = {};       ///< [R, 1] = sum_l (z - sigmoid(logit))^2 = |d log q / d logits|^2; needs log_q
  bool add = false;           ///< log_q and score_norm are added to what is there: the sums over the layers of a chain
  void check(const Backend& backend) const;
};

}  // namespace cuvae
