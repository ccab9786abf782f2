// Log-densities of Gaussians whose mean and log variance are parameters or outputs of a network.
#pragma once
#include "math/formulas.h"

namespace cuvae::math {

CUVAE_FN float held_logvar(float logvar) { return clamp(logvar, kLogVarMin, kLogVarMax); }
/// 1 / sigma.
CUVAE_FN float inverse_sigma(float logvar) { return exp(-0.5f * held_logvar(logvar)); }

/// One latent of log N(z; mu, e^v), v = logvar held to its clamp. With u = (z - mu) / sigma:
///   log p = -(u^2 + v + log(2 pi)) / 2,  its derivatives u / sigma by mu, minus that by z, (u^2 - 1) / 2 by v.
struct NormalTerm {
  float log_p, dmu, dlogvar;
};
CUVAE_FN NormalTerm normal_term(float z, float mu, float logvar) {
  const float v = held_logvar(logvar), inverse = exp(-0.5f * v), u = (z - mu) * inverse;
  return {-0.5f * (u * u + (v + kLog2Pi)), u * inverse, 0.5f * (u * u - 1.0f)};
}

}  // namespace cuvae::math
