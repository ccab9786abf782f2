// Common to tests of likelihoods: values that a likelihood accepts, and bounds of the errors of log p and its
// derivatives.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "cuvae/likelihood.h"
#include "op_test.h"

namespace cuvae::test {

/// The largest errors of one value's log p, which is one term of a row's sum, and of its derivatives.
struct Bounds {
  double log_p = 0, derivatives[2] = {0, 0};
};

// src/math/likelihoods.h and src/math/beta_binomial.h derive the constants. u = 2^-24. exp and log have errors of 2.5
// ulp, a relative error of at most 5 u.
inline Bounds bounds_of(Likelihood likelihood, const reference::Vector& o, double x) {
  constexpr double u = 0x1p-24;
  const auto value = reference::value_log_prob(likelihood, o, x);
  switch (likelihood) {
    case Likelihood::bernoulli:  // terms of one sign with a few roundings each; 1e-37 if an exponential underflows
      return {8 * u * std::fabs(value.log_p) + 1e-37, {4 * u}};
    case Likelihood::continuous_bernoulli: {
      // Up to |l| = 2 the terms are at most 1 and 0.17. Beyond, a/(1 - t) has the error 5 u t of exp and three
      // roundings, log has 5 u of its value, the product 3 u; 1/a, t/(1 - t) and c are at most 1.
      const double a = std::fabs(o[0]), c = o[0] >= 0 ? 1 - x : x;
      if (a < 2) return {6 * u, {4 * u}};
      return {u * (5 + 6 * std::fabs(std::log(a / -std::expm1(-a))) + 4 * a * c), {6 * u}};
    }
    case Likelihood::gaussian_scale: {
      // The term ((x - m) / s)^2 / 2 has twice the 5 u of exp, and 6 roundings. r and the sum have 4.
      const double r = std::clamp<double>(o[1], kLogScaleMin, kLogScaleMax),
                   square = std::pow((x - o[0]) / std::exp(r), 2);
      return {u * (16 * square / 2 + 4 * (std::fabs(r) + 1)),
              {16 * u * std::fabs(value.derivatives[0]), u * (16 * square + 1)}};
    }
    case Likelihood::beta_binomial: {
      // 16 u of sums up to 12 and of log p itself, and 5 u of alpha and beta. The derivatives depend on these by
      // D = (k beta - j alpha) / N; its two products and rounded factors together have an error of 14 u.
      const double k = std::round(255 * x), g = std::fabs(value.derivatives[0]) + std::fabs(value.derivatives[1]);
      const auto held = [](double v) {
        return std::exp(std::clamp<double>(v, kLogConcentrationMin, kLogConcentrationMax));
      };
      const double alpha = held(o[0]), beta = held(o[1]);
      const double products = (k * beta + (255 - k) * alpha) / (255 + alpha + beta), d = u * (32 + 16 * (g + products));
      return {u * (64 + 16 * std::fabs(value.log_p) + 5 * g), {d, d}};
    }
    case Likelihood::gaussian:
    case Likelihood::gaussian_learned:
    case Likelihood::gaussian_learned_per_dim:
      break;
  }
  throw Error("no bounds: the scale of this likelihood is not the value's own");
}

/// The likelihoods that LogProb accepts.
inline std::vector<Likelihood> formulas() {
  std::vector<Likelihood> all;
  for (const LikelihoodTraits& t : kLikelihoods)
    if (!is_scale_shared(t.likelihood)) all.push_back(t.likelihood);
  return all;
}

/// Values that the likelihood accepts, also exact zeros and ones; for a beta-binomial, multiples of 1/255.
inline std::vector<float> random_values(Likelihood likelihood, Index size) {
  std::vector<float> v = random_vector(size, 21, -0.5f, 1.5f);
  if (!traits(likelihood).unit_interval) return v;
  for (float& f : v) f = std::clamp(f, 0.0f, 1.0f);
  if (likelihood == Likelihood::beta_binomial)
    for (float& f : v) f = std::round(255 * f) / 255;
  return v;
}

}  // namespace cuvae::test
