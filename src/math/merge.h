// The product of two Gaussians, of which log variances are given.
#pragma once
#include "math/formulas.h"

namespace cuvae::math {

/// The normalized product of N(mu_p, var_p) and N(mu_b, var_b): its log variance, and the shares var / var_b and var /
/// var_p of the two means in its mean. From the difference of the log variances, so that nothing overflows.
struct MergedGaussian {
  float logvar, of_b, of_p;
};
CUVAE_FN MergedGaussian merged_gaussian(float logvar_p, float logvar_b) {
  const float p = clamp(logvar_p, kLogVarMin, kLogVarMax), b = clamp(logvar_b, kLogVarMin, kLogVarMax);
  const bool b_is_narrow = b < p;
  const float t = exp(b_is_narrow ? b - p : p - b);  // the narrow variance over the wide one
  const float most = 1.0f / (1.0f + t), least = t * most;
  return {(b_is_narrow ? b : p) - log1p_unit(t), b_is_narrow ? most : least, b_is_narrow ? least : most};
}
CUVAE_FN float merged_mean(const MergedGaussian& m, float mu_p, float mu_b) { return mu_p + m.of_b * (mu_b - mu_p); }

/// The gradients by the four statistics from those by the merged mean and log variance; log variances within their
/// clamp.
struct MergedGradient {
  float mu_p, logvar_p, mu_b, logvar_b;
};
CUVAE_FN MergedGradient merged_gradient(const MergedGaussian& m, float mu_p, float mu_b, float dmu, float dlogvar) {
  const float through_shares = m.of_b * m.of_p * (mu_b - mu_p) * dmu;
  return {m.of_p * dmu, m.of_p * dlogvar + through_shares, m.of_b * dmu, m.of_b * dlogvar - through_shares};
}

}  // namespace cuvae::math
