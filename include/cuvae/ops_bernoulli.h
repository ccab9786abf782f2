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

/// dlogits = -sum_k c_k (z_k - sigmoid(logit)), the loss's gradient by the posterior's logits, estimated by the score
/// function: z is held fixed, c is what a sample's score counts for (LatentTerms::score). With optimal_baseline, K >= 2
/// and a score for each row, c_k is less the baseline sum_{j != k} c_j s_j^2 / sum_{j != k} s_j^2, s = z -
/// sigmoid(logit), the constant of least variance of that logit, from the row's other samples (Ranganath et al. 2014).
struct BernoulliBackward {
  static constexpr const char* name = "bernoulli_backward";
  RowFactor score = 0.0f;         ///< c, of each sample row
  bool optimal_baseline = false;  ///< c less a constant for each logit
  ConstView logits = {};          ///< [B, L]
  ConstView z = {};               ///< [R, L] [A], 0 or 1: of SampleBernoulli
  View dlogits = {};              ///< [B, L] [A]
  void check(const Backend& backend) const;
};

/// log_p = sum_l z logit - softplus(logit), whose logits are outputs of a network or, in one row, parameters: a layer
/// of a sigmoid belief network, or its factorized prior. In the same pass the gradient of the sum of row_weight[r]
/// log_p[r], a loss that descent makes smaller. There is none by z. At least one output is given.
struct BernoulliLogProb {
  static constexpr const char* name = "bernoulli_log_prob";
  ConstView z = {};             ///< [R, L] [A], 0 or 1
  ConstView logits = {};        ///< [R, L], or [1, L]: the same for all rows
  RowFactor row_weight = 0.0f;  ///< of a row in the gradient
  View log_p = {};              ///< [R, 1]; may be empty
  bool add = false;             ///< log_p is added to what is there
  /// [R, L] [A], replaced; of logits in one row [1, L], f32, the sum over the rows. May be empty.
  View dlogits = {};
  Gradients gradients = Gradients::replace;  ///< of the sum over the rows
  void check(const Backend& backend) const;
};

}  // namespace cuvae
