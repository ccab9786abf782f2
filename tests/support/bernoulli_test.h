// Common to the tests of Bernoulli latents.
#pragma once
#include "latent_test.h"

namespace cuvae::test {

/// Errors relative to the value, an ulp being at most 2^-23 of it. A score z - sigmoid(logit): 2.5 ulp of exp and three
/// roundings. A term of a log-probability: 2.5 ulp of exp and as much of log1p.
inline constexpr double kScoreError = 0x1p-21, kBernoulliTermError = 5 * 0x1p-23;
/// The error where exp() of the CPU ends, at exp(-87).
inline constexpr double kLeastExp = 2e-38;

/// Random logits in [-4, 4]; every seventh is larger, up to 80 from 0.
inline std::vector<float> random_logits(Index size, std::uint64_t seed = 21) {
  std::vector<float> logits = random_vector(size, seed, -4, 4);
  for (std::size_t i = 3; i < logits.size(); i += 7) logits[i] *= 20;
  return logits;
}
/// Random 0 and 1, which are as likely.
inline std::vector<float> random_bits(Index size, std::uint64_t seed = 22) {
  std::vector<float> bits = random_vector(size, seed);
  for (float& bit : bits) bit = bit < 0 ? 0.0f : 1.0f;
  return bits;
}

/// The error of log p of each row [R, latent], whose terms are all negative, from its value.
inline reference::Vector log_p_bounds(const reference::Vector& log_p, Index latent) {
  reference::Vector bound;
  for (const double row : log_p)
    bound.push_back((kBernoulliTermError + sum_error(latent)) * std::fabs(row) +
                    static_cast<double>(latent) * kLeastExp);
  return bound;
}

}  // namespace cuvae::test
