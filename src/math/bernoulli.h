// The score of Bernoulli latents, from their logits. Their log-probability is BernoulliFormula's.
#pragma once
#include "math/formulas.h"

namespace cuvae::math {

/// q = sigmoid(-|l|), the probability of the rarer value of a Bernoulli with logit l.
CUVAE_FN float rarer_probability(float l) {
  const float t = exp(l >= 0.0f ? -l : l);
  return t / (1.0f + t);
}
/// z - sigmoid(l), without cancellation, from q of l.
CUVAE_FN float bernoulli_score(float l, float q, float z) { return l >= 0.0f ? q - (1.0f - z) : z - q; }
/// Whether z is the rarer value.
CUVAE_FN bool is_rarer(float l, float z) { return (l >= 0.0f) != (z > 0.5f); }

/// The constant b of least variance of (c - b) s from a row's samples but one, s = z - sigmoid(l): sum c s^2 / sum s^2
/// over the others. s has two values, and the ratio of their squares may be too small for one sum: there is a sum for
/// each value.
struct OthersOfBernoulli {
  double rarer = 0.0, other = 0.0, count = 0.0;  // sums of c; the number of the rarer values
  CUVAE_FN void add(double c, bool is_rarer) {
    rarer += is_rarer ? c : 0.0;
    other += is_rarer ? 0.0 : c;
    count += is_rarer ? 1.0 : 0.0;
  }
  /// b for a sample whose factor is c.
  CUVAE_FN double without(double c, bool is_rarer, float q, Index samples) const {
    const double t = static_cast<double>(q) / (1.0 - static_cast<double>(q)), ratio = t * t;
    const double n = is_rarer ? count - 1.0 : count, rest = static_cast<double>(samples - 1) - n;
    const double of_rarer = is_rarer ? rarer - c : rarer, of_rest = is_rarer ? other : other - c;
    return n > 0.0 ? (of_rarer + ratio * of_rest) / (n + ratio * rest) : of_rest / rest;
  }
};

}  // namespace cuvae::math
