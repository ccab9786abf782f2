// Where the measure-valued estimators and the delta method evaluate log p(x|z), and the gradients from its values.
#pragma once
#include "math/formulas.h"
#include "math/philox.h"

namespace cuvae::math {

/// The four probes of a coordinate, in standard deviations from the posterior's mean: the two parts of the derivative
/// of a normal density by its mean, then those by its standard deviation.
struct Displacements {
  float v[4];
};

/// From two Philox evaluations: of uniforms, and of normals. A Rayleigh variable on each side; a double-sided Maxwell
/// variable m, a random sign times the norm of three normals, and a normal. Coupled, both Rayleigh variables are one,
/// and the normal is m times a uniform, whose product is normal (Mohamed et al. 2020, section 6).
CUVAE_FN Displacements displacements(bool coupled, const Words& u, const Words& g) {
  const float above = sqrt(-2.0f * log(uniform(u.v[0])));
  const float below = coupled ? above : sqrt(-2.0f * log(uniform(u.v[1])));
  float n[4];
  normal_pair(uniform(g.v[0]), uniform(g.v[1]), n[0], n[1]);
  normal_pair(uniform(g.v[2]), uniform(g.v[3]), n[2], n[3]);
  const float norm = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
  const float maxwell = (u.v[3] >> 31) != 0 ? norm : -norm;
  return {{above, -below, maxwell, coupled ? maxwell * uniform(u.v[2]) : n[3]}};
}

/// 1 / sqrt(2 pi): the mass of each part of the density's derivative by its mean, times sigma.
inline constexpr float kMassOfShift = 0.39894228f;

/// log p(x|z) along one coordinate around the posterior's mean, less its value there, in standard deviations: through
/// the values at one above and one below.
struct Quadratic {
  float slope = 0.0f, curvature = 0.0f;
};
CUVAE_FN Quadratic quadratic(float middle, float above, float below) {
  return {0.5f * (above - below), (above - middle) + (below - middle)};
}
CUVAE_FN float at(const Quadratic& q, float eps) { return eps * (q.slope + 0.5f * q.curvature * eps); }

/// dmu and dlogvar of the loss, from its gradients by mu / sigma and by log sigma; s is the KL's weight.
CUVAE_FN void statistics_gradient(float mu, float logvar, float by_shift, float by_scale, float s, float& dmu,
                                  float& dlogvar) {
  const float lv = clamp(logvar, kLogVarMin, kLogVarMax);
  dmu = by_shift / exp(0.5f * lv) + s * mu;
  const float d = 0.5f * (by_scale + s * (exp(lv) - 1.0f));
  dlogvar = clamp_gradient(d, logvar, kLogVarMin, kLogVarMax);
}

}  // namespace cuvae::math
