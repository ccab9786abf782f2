// exp, log, log1p, sin and cos of 2 pi u, tanh and erf. They have no branches and no tables, so that loops with them
// vectorise. Errors are below 2.5 ulp in the stated ranges; the polynomials are Chebyshev fits. Device code uses CUDA's
// own functions.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "math/inline.h"

namespace cuvae::math {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                       kInfinity = std::numeric_limits<float>::infinity();

#if defined(__CUDACC__)

CUVAE_FN float exp(float x) { return ::expf(x); }
CUVAE_FN float log(float x) { return ::logf(x); }
CUVAE_FN float log1p_unit(float t) { return ::log1pf(t); }
CUVAE_FN float tanh(float x) { return ::tanhf(x); }
CUVAE_FN float erf(float x) { return ::erff(x); }
CUVAE_FN float sqrt(float x) { return ::sqrtf(x); }
CUVAE_FN void sincos_turns(float u, float& s, float& c) { ::sincospif(2.0f * u, &s, &c); }

#else

CUVAE_FN float from_bits(std::int32_t b) {
  float f;
  std::memcpy(&f, &b, sizeof f);
  return f;
}
CUVAE_FN std::int32_t to_bits(float f) {
  std::int32_t b;
  std::memcpy(&b, &f, sizeof b);
  return b;
}
CUVAE_FN float select(bool c, float a, float b) { return c ? a : b; }
CUVAE_FN float sqrt(float x) { return __builtin_sqrtf(x); }

/// e^x, with x clamped to [-87, 88]. NaN stays NaN.
CUVAE_FN float exp(float x) {
  x = select(x < -87.0f, -87.0f, x);
  x = select(x > 88.0f, 88.0f, x);
  const float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer in the low bits
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // Cody and Waite: ln 2 in two parts
  float p = 1.3933730e-3f;
  p = p * r + 8.3632357e-3f;
  p = p * r + 4.1666463e-2f;
  p = p * r + 1.6666576e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  return p * from_bits(
                 static_cast<std::int32_t>((static_cast<std::uint32_t>(to_bits(shifted)) - 0x4B400000u + 127u) << 23));
}

/// ln x for normal x > 0.
CUVAE_FN float log(float x) {
  const std::int32_t bits = to_bits(x);
  const std::int32_t e = (bits - 0x3F3504F3) >> 23;  // so that the mantissa lies in [sqrt(1/2), sqrt 2)
  const float f = from_bits(bits - (e << 23)) - 1.0f, n = static_cast<float>(e);
  float p = -8.1015587e-2f;
  p = p * f + 1.2712307e-1f;
  p = p * f - 1.2972239e-1f;
  p = p * f + 1.4202173e-1f;
  p = p * f - 1.6642247e-1f;
  p = p * f + 2.0001468e-1f;
  p = p * f - 2.5000298e-1f;
  p = p * f + 3.3333328e-1f;
  const float f2 = f * f;
  return (p * f * f2 - n * 2.12194440e-4f - 0.5f * f2) + f + n * 0.693359375f;
}

/// ln(1 + t) for t in [0, 1], with an error of a few ulp also for very small t.
CUVAE_FN float log1p_unit(float t) {
  float p = 2.0376905e-3f;
  p = p * t - 1.3444831e-2f;
  p = p * t + 4.1557621e-2f;
  p = p * t - 8.2535334e-2f;
  p = p * t + 1.2425103e-1f;
  p = p * t - 1.6108632e-1f;
  p = p * t + 1.9891538e-1f;
  p = p * t - 2.4987392e-1f;
  p = p * t + 3.3332568e-1f;
  p = p * t - 4.9999982e-1f;
  return p * t * t + t;
}

/// sin(2 pi u) and cos(2 pi u) for u in [0, 1].
CUVAE_FN void sincos_turns(float u, float& s, float& c) {
  const float shifted = u * 4.0f + 12582912.0f;
  const std::int32_t q = to_bits(shifted) & 3;
  const float a = (u - (shifted - 12582912.0f) * 0.25f) * 6.28318531f, a2 = a * a;  // |a| <= pi / 4
  const float sine = ((-1.9587950e-4f * a2 + 8.3327489e-3f) * a2 - 1.6666664e-1f) * a2 * a + a;
  const float cosine = ((2.4547964e-5f * a2 - 1.3888304e-3f) * a2 + 4.1666664e-2f) * a2 * a2 - 0.5f * a2 + 1.0f;
  const bool swap = (q & 1) != 0;
  const float ss = select(swap, cosine, sine), cc = select(swap, sine, cosine);
  s = select((q & 2) != 0, -ss, ss);
  c = select(((q + 1) & 2) != 0, -cc, cc);
}

CUVAE_FN float tanh(float x) {
  const float a = select(x < 0.0f, -x, x), x2 = x * x;
  const float e = exp(-2.0f * a);
  const float large = (1.0f - e) / (1.0f + e);
  float p = -6.1049373e-3f;
  p = p * x2 + 2.1003632e-2f;
  p = p * x2 - 5.3852495e-2f;
  p = p * x2 + 1.3332783e-1f;
  p = p * x2 - 3.3333328e-1f;
  return select(a < 0.625f, p * x2 * x + x, select(x < 0.0f, -large, large));
}

CUVAE_FN float erf(float x) {
  const float a = select(x < 0.0f, -x, x), x2 = x * x;
  float p = 7.8824974e-5f;
  p = p * x2 - 8.0188555e-4f;
  p = p * x2 + 5.1893122e-3f;
  p = p * x2 - 2.6854329e-2f;
  p = p * x2 + 1.1283597e-1f;
  p = p * x2 - 3.7612626e-1f;
  p = p * x2 + 1.1283791f;
  const float t = 1.0f / (1.0f + 0.5f * a);  // for large |x|: 1 - exp(-x^2) erfcx(|x|)
  float q = 2.2907253e-2f;
  q = q * t + 2.6625331e-2f;
  q = q * t - 3.0848992e-1f;
  q = q * t + 4.0163192e-1f;
  q = q * t - 4.2062611e-3f;
  q = q * t + 3.0905318e-1f;
  q = q * t + 2.6903689e-1f;
  q = q * t + 2.8363609e-1f;
  q = q * t - 7.8682548e-5f;
  const float large = 1.0f - exp(-x2) * q;
  return select(a < 0.95f, p * x, select(x < 0.0f, -large, large));
}

#endif

/// Two normals from two uniforms in (0, 1], by the method of Box and Muller as cuRAND has it.
CUVAE_FN void normal_pair(float u0, float u1, float& n0, float& n1) {
  const float r = sqrt(-2.0f * log(u0));
  float s, c;
  sincos_turns(u1, s, c);
  n0 = r * s;
  n1 = r * c;
}

}  // namespace cuvae::math
