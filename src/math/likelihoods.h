// The likelihoods that take the data values one by one: p(x|z) = prod_d p(x_d | outputs of the decoder for d). A
// formula has
//   outputs      of the decoder for each value;
//   log_prob()   log p and its derivatives by the outputs, those of a clamped output taken at its clamp;
//   gradient()   of a loss by output i, from the gradient by its clamped value;
//   mean()       E[x];
//   draw()       a sample, from a uniform in (0, 1], or from a normal where from_normal;
//   start()      outputs whose mean is that of the data, for an untrained decoder.
// Everything but the last is float32 without library functions, which passes and kernels need.
#pragma once
#include <cmath>

#include "cuvae/likelihood.h"
#include "math/beta_binomial.h"
#include "math/formulas.h"

namespace cuvae::math {

/// The logit l: log p = x l - softplus(l), without overflow or cancellation. With t = exp(-|l|):
///   log p = -(|l| c + log1p(t)), c = l >= 0 ? 1 - x : x;  its derivative x - sigmoid(l).
/// An x outside [0, 1] has no log-likelihood: NaN, which the guard of the step finds.
struct BernoulliFormula {
  static constexpr int outputs = 1;
  static constexpr bool from_normal = false;

  CUVAE_FN static void log_prob(const float* o, float x, float& log_p, float* d) {
    const float l = o[0];
    const bool positive = l >= 0.0f;
    const float a = positive ? l : -l, t = exp(-a), q = t / (1.0f + t);
    const float c = positive ? 1.0f - x : x;
    log_p = is_probability(x) ? -(a * c + log1p_unit(t)) : kNaN;
    d[0] = positive ? q - c : x - q;
  }
  CUVAE_FN static float gradient(int, float weighted, float) { return weighted; }
  CUVAE_FN static float mean(const float* o) { return sigmoid(o[0]); }
  CUVAE_FN static float draw(const float* o, float u) { return u <= sigmoid(o[0]) ? 1.0f : 0.0f; }
  /// The logit of the mean (Burda et al. 2015, reference code).
  static void start(float data_mean, float, float* o) {
    const float p = clamp(data_mean, 0.001f, 0.999f);
    o[0] = std::log(p / (1.0f - p));
  }
};

/// The logit l: p(x) = C(l) exp(x l - softplus(l)), a density on [0, 1] (Loaiza-Ganem and Cunningham 2019). With C =
/// l / tanh(l/2) the softplus cancels: where |l| = a >= 2, t = exp(-a) and c as above,
///   log p = log(a / (1 - t)) - a c,      d log p/dl = c' (q - c),   q = 1/a - t / (1 - t),   c' = l >= 0 ? 1 : -1,
/// and 1 - q or q is the mean. Nearer to 0, where 1/a and t / (1 - t) nearly cancel, with g = log(sinh(l/2) / (l/2)):
///   log p = l (x - 1/2) - g,             d log p/dl = x - 1/2 - g'.
/// g = sum_k B_2k/(2k (2k)!) l^2k, seven terms; the eighth is at l = 2 below 2^-29 in g and 2^-26 in g', a third of an
/// ulp of the q = 0.34 there. At a = 2 the other form is good to 3 ulp of q (exp 2.5 ulp of t = 0.14, four roundings).
struct ContinuousBernoulliFormula {
  static constexpr int outputs = 1;
  static constexpr bool from_normal = false;
  static constexpr float kNear = 2.0f;

  /// g / l^2 and g' / l from s = l^2.
  CUVAE_FN static float series(float s) {
    return 4.16666667e-2f +
           s * (-3.47222222e-4f +
                s * (5.51146384e-6f +
                     s * (-1.03339947e-7f + s * (2.08767570e-9f + s * (-4.40350880e-11f + s * 9.55895e-13f)))));
  }
  CUVAE_FN static float slope_series(float s) {
    return 8.33333333e-2f +
           s * (-1.38888889e-3f +
                s * (3.30687831e-5f +
                     s * (-8.26719577e-7f + s * (2.08767570e-8f + s * (-5.28419014e-10f + s * 1.33825365e-11f)))));
  }
  /// The distance of the mean from the end of [0, 1] that is nearer, for a >= kNear.
  CUVAE_FN static float distance(float a, float t) { return 1.0f / a - t / (1.0f - t); }

  CUVAE_FN static void log_prob(const float* o, float x, float& log_p, float* d) {
    const float l = o[0], s = l * l;
    const bool positive = l >= 0.0f, near = s < kNear * kNear;
    const float a = near ? kNear : (positive ? l : -l), t = exp(-a), q = distance(a, t);
    const float c = positive ? 1.0f - x : x, centred = x - 0.5f;
    const float far_log_p = log(a / (1.0f - t)) - a * c, near_log_p = l * centred - s * series(s);
    log_p = is_probability(x) ? (near ? near_log_p : far_log_p) : kNaN;
    d[0] = near ? centred - l * slope_series(s) : (positive ? q - c : x - q);
  }
  CUVAE_FN static float gradient(int, float weighted, float) { return weighted; }
  CUVAE_FN static float mean(const float* o) {
    const float l = o[0], s = l * l, a = l >= 0.0f ? l : -l;
    if (s < kNear * kNear) return 0.5f + l * slope_series(s);
    const float q = distance(a, exp(-a));
    return l >= 0.0f ? 1.0f - q : q;
  }
  /// The inverse of the distribution function: y = -log(1 - u (1 - t)) / a, or 1 - y for positive l. log(1 + m) is
  /// m log(w) / (w - 1), w = 1 + m rounded, which is good to a few ulp however small m is.
  CUVAE_FN static float draw(const float* o, float u) {
    const float l = o[0], a = clamp(l >= 0.0f ? l : -l, 1e-6f, 1e30f);
    const float m = u * expm1_negative(-a), w = 1.0f + m;
    const float log_w = w == 1.0f ? m : log(w > 0.0f ? w : 1e-38f) * (m / (w - 1.0f));
    const float y = clamp(-log_w / a, 0.0f, 1.0f);
    return l >= 0.0f ? 1.0f - y : y;
  }
  /// The logit with this mean, held to [0.01, 0.99], by bisection: |l| <= 100.
  static void start(float data_mean, float, float* o) {
    const float wanted = clamp(data_mean, 0.01f, 0.99f);
    double low = -101, high = 101;
    for (int i = 0; i < 40; ++i) {
      const double middle = (low + high) / 2;
      const auto l = static_cast<float>(middle);
      (mean(&l) < wanted ? low : high) = middle;
    }
    o[0] = static_cast<float>((low + high) / 2);
  }
};

/// The mean m and the log r of the scale, s = exp(r), r held to [kLogScaleMin, kLogScaleMax]: log p = -u^2/2 - r -
/// log(2 pi)/2, u = (x - m) / s.
struct GaussianScaleFormula {
  static constexpr int outputs = 2;
  static constexpr bool from_normal = true;

  CUVAE_FN static void log_prob(const float* o, float x, float& log_p, float* d) {
    const float r = clamp(o[1], kLogScaleMin, kLogScaleMax), inverse = exp(-r), u = (x - o[0]) * inverse;
    log_p = -(0.5f * u * u + (r + 0.5f * kLog2Pi));
    d[0] = u * inverse;
    d[1] = u * u - 1.0f;
  }
  CUVAE_FN static float gradient(int output, float weighted, float value) {
    return output == 0 ? weighted : clamp_gradient(weighted, value, kLogScaleMin, kLogScaleMax);
  }
  CUVAE_FN static float mean(const float* o) { return o[0]; }
  CUVAE_FN static float draw(const float* o, float normal) {
    return o[0] + exp(clamp(o[1], kLogScaleMin, kLogScaleMax)) * normal;
  }
  static void start(float data_mean, float scale, float* o) { o[0] = data_mean, o[1] = std::log(scale); }
};

/// The logs of alpha and beta, held to [kLogConcentrationMin, kLogConcentrationMax]: k = 255 x, rounded to an integer,
/// has log p = log C(255, k) + log B(k + alpha, 255 - k + beta) - log B(alpha, beta), a mass over 256 values (Townsend,
/// Bird and Barber 2019). An x outside [0, 1] gives NaN. bf16 holds k/255 well enough to find every k again: it is off
/// by at most 2^-9, 0.498 in k.
struct BetaBinomialFormula {
  static constexpr int outputs = 2;
  static constexpr bool from_normal = false;

  CUVAE_FN static float concentration(float output) {
    return exp(clamp(output, kLogConcentrationMin, kLogConcentrationMax));
  }
  CUVAE_FN static void log_prob(const float* o, float x, float& log_p, float* d) {
    const bool inside = is_probability(x);
    const float k = (x * 255.0f + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: rounds to an integer
    const float p = beta_binomial(inside ? k : 0.0f, concentration(o[0]), concentration(o[1]), d[0], d[1]);
    log_p = inside ? p : kNaN;
  }
  CUVAE_FN static float gradient(int, float weighted, float value) {
    return clamp_gradient(weighted, value, kLogConcentrationMin, kLogConcentrationMax);
  }
  /// alpha / (alpha + beta).
  CUVAE_FN static float mean(const float* o) {
    return sigmoid(clamp(o[0], kLogConcentrationMin, kLogConcentrationMax) -
                   clamp(o[1], kLogConcentrationMin, kLogConcentrationMax));
  }
  /// The smallest k whose cumulative sum reaches u. The masses are relative to that next to the mean, by their ratio
  /// p(k + 1)/p(k) = (255 - k)(k + alpha) / ((k + 1)(254 - k + beta)), so that none of weight underflows. They are
  /// computed twice, once for their sum, because a kernel has no room for 256 of them.
  CUVAE_FN static float draw(const float* o, float u) {
    const float a = concentration(o[0]), b = concentration(o[1]);
    const float expected = 255.0f * mean(o);
    if (!(expected >= 0.0f)) return kNaN;  // outputs that are NaN
    const int middle = static_cast<int>(expected + 0.5f);
    const auto ratio = [&](int k) {
      const auto v = static_cast<float>(k);
      return (255.0f - v) * (v + a) / ((v + 1.0f) * (254.0f - v + b));
    };
    float below = 0.0f, above = 0.0f, mass = 1.0f;  // sums of the masses below the middle, and from it on
    for (int k = middle; k > 0; --k) below += mass /= ratio(k - 1);
    mass = 1.0f;
    for (int k = middle; k < 255; ++k) above += mass *= ratio(k);
    above += 1.0f;
    float left = u * (below + above) - below;  // of the wanted sum, beyond the masses below the middle
    int k = middle;
    mass = 1.0f;
    if (left > 0.0f) {
      for (; left > mass && k < 255; ++k) left -= mass, mass *= ratio(k);
    } else {
      for (float sum = 0.0f; k > 0; --k) {  // of the masses from k - 1 down to the wanted place
        mass /= ratio(k - 1);
        sum -= mass;
        if (sum < left) return static_cast<float>(k - 1) / 255.0f;
      }
    }
    return static_cast<float>(k) / 255.0f;
  }
  /// alpha + beta = 2.
  static void start(float data_mean, float, float* o) {
    const float p = clamp(data_mean, 0.001f, 0.999f);
    o[0] = std::log(2.0f * p), o[1] = std::log(2.0f * (1.0f - p));
  }
};

/// A Gaussian whose scale many values share has an op of its own, GaussianLogProb. This is only its mean.
struct SharedScaleFormula {
  static constexpr int outputs = 1;
  CUVAE_FN static float mean(const float* o) { return o[0]; }
  static void start(float data_mean, float, float* o) { o[0] = data_mean; }
};
template <class Formula>
inline constexpr bool takes_values_alone = requires {
  Formula::from_normal;
};

/// A formula for data in which NaN is a missing value: it adds nothing to log p, and its derivatives are 0.
template <class Formula>
struct OfObserved : Formula {
  CUVAE_FN static void log_prob(const float* o, float x, float& log_p, float* d) {
    const bool missing = is_missing(x);
    Formula::log_prob(o, missing ? 0.5f : x, log_p, d);
    log_p = missing ? 0.0f : log_p;
    for (int i = 0; i < Formula::outputs; ++i) d[i] = missing ? 0.0f : d[i];
  }
};

/// f<Formula>() for the run-time value, so that loops and kernels do not branch on it.
template <class F>
auto with_likelihood(Likelihood likelihood, F f) {
  const auto call = [&]<Likelihood L, class Formula>() {
    static_assert(Formula::outputs == traits(L).outputs, "the table has other outputs than the formula");
    return f.template operator()<Formula>();
  };
  using enum Likelihood;
  switch (likelihood) {
    case bernoulli:
      break;
    case gaussian:
      return call.template operator()<gaussian, SharedScaleFormula>();
    case gaussian_learned:
      return call.template operator()<gaussian_learned, SharedScaleFormula>();
    case gaussian_learned_per_dim:
      return call.template operator()<gaussian_learned_per_dim, SharedScaleFormula>();
    case continuous_bernoulli:
      return call.template operator()<continuous_bernoulli, ContinuousBernoulliFormula>();
    case gaussian_scale:
      return call.template operator()<gaussian_scale, GaussianScaleFormula>();
    case beta_binomial:
      return call.template operator()<beta_binomial, BetaBinomialFormula>();
  }
  return call.template operator()<bernoulli, BernoulliFormula>();
}

/// The same for LogProb, f<Formula>() or f<OfObserved<Formula>>().
template <class F>
auto with_likelihood(Likelihood likelihood, bool missing, F f) {
  return with_likelihood(likelihood, [&]<class Formula>() {
    if constexpr (takes_values_alone<Formula>)
      if (missing) return f.template operator()<OfObserved<Formula>>();
    return f.template operator()<Formula>();
  });
}

}  // namespace cuvae::math
