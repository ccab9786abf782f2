// Common parts of the tests of MixtureLogProb: its arrays, random inputs, and bounds of the errors of its results.
#pragma once
#include "op_test.h"

namespace cuvae::test {

struct MixtureSize {
  Index rows, latent, components;
};
inline std::string trace(MixtureSize s) {
  return "R " + std::to_string(s.rows) + ", L " + std::to_string(s.latent) + ", C " + std::to_string(s.components);
}

struct MixtureInputs {
  std::vector<float> z, components, logits;
};
/// Uniform: z in [-3, 3], mu in [-2, 2], logvar in [-2, 1], logits in [-2, 2] or none.
inline MixtureInputs mixture_inputs(MixtureSize s, bool equal_weights) {
  MixtureInputs in{random_vector(s.rows * s.latent, 91, -3, 3), random_vector(s.components * 2 * s.latent, 92, -2, 1),
                   equal_weights ? std::vector<float>() : random_vector(s.components, 93, -2, 2)};
  for (Index i = 0; i < s.components * 2 * s.latent; ++i)
    if (i / s.latent % 2 == 0) in.components[i] = (in.components[i] + 0.5f) * (4.0f / 3);
  return in;
}

/// The op's arrays in a backend's memory; dlogits is given with logits.
struct MixtureArrays {
  MixtureArrays(Backend& b, MixtureSize s, const std::vector<float>& values, const MixtureInputs& in,
                const std::vector<float>& dz_start)
      : z(b, s.rows, s.latent, values, b.activation_type()),
        components(b, s.components, 2 * s.latent, in.components),
        logits(b, 1, static_cast<Index>(in.logits.size()), in.logits),
        log_p(b, s.rows, 1),
        responsibilities(b, s.rows, s.components),
        dz(b, s.rows, s.latent, dz_start),
        dcomponents(b, s.components, 2 * s.latent),
        dlogits(b, 1, static_cast<Index>(in.logits.size())) {}
  MixtureLogProb op(const RowFactor& factor) const {
    MixtureLogProb all{.z = z,
                       .components = components,
                       .row_weight = factor,
                       .log_p = log_p,
                       .responsibilities = responsibilities,
                       .dz = dz,
                       .dcomponents = dcomponents};
    if (logits.cols > 0) all.logits = logits, all.dlogits = dlogits;
    return all;
  }
  Matrix z, components, logits, log_p, responsibilities, dz, dcomponents, dlogits;
};

inline reference::Vector softmax(const reference::Vector& logits) {
  reference::Vector weights;
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  for (const double logit : logits) weights.push_back(std::exp(logit) / sum);
  return weights;
}

struct MixtureBounds {
  reference::Vector log_p, responsibilities, dz, dcomponents, dlogits;
};
/// Bounds from the magnitudes of the terms of each sum. The error of a term's log comes from its squares, which contain
/// an exponential, and from its weight. The relative error of a responsibility is the sum of that error and the error
/// of its row's log_p. The gradients multiply the responsibility by u / sigma, whose relative error is below 2^-20.
inline MixtureBounds mixture_bounds(const reference::Vector& z, const reference::Vector& components,
                                    const reference::Vector& logits, const reference::RowWeight& weight,
                                    double weight_error, MixtureSize s) {
  using reference::Vector;
  const Index L = s.latent, n = s.components;
  const Vector logit = logits.empty() ? Vector(static_cast<std::size_t>(n), 0.0) : logits, weights = softmax(logit);
  const double largest_logit = *std::max_element(logit.begin(), logit.end()), of_sum = sum_error(n);
  MixtureBounds out{Vector(s.rows), Vector(s.rows * n), Vector(z.size()), Vector(components.size()), Vector(n)};
  for (Index r = 0; r < s.rows; ++r) {
    Vector log_term, error;
    const auto u = [&](Index c, Index l) {
      return (z[r * L + l] - components[c * 2 * L + l]) / std::exp(components[(c * 2 + 1) * L + l] / 2);
    };
    for (Index c = 0; c < n; ++c) {
      const double log_weight = std::log(weights[c]);
      log_term.push_back(log_weight);
      error.push_back(of_sum * (1 + std::log(n)) + 0x1p-22 * (largest_logit - logit[c] + std::fabs(log_weight)));
      for (Index l = 0; l < L; ++l) {
        const double square = u(c, l) * u(c, l), v = components[(c * 2 + 1) * L + l];
        log_term.back() -= (square + v + std::log(2 * 3.14159265358979323846)) / 2;
        error.back() += sum_error(L) * (square + std::fabs(v) + 1.84) / 2 + kSquaredExpError * square / 2;
      }
    }
    const double largest = *std::max_element(log_term.begin(), log_term.end());
    double sum = 0;
    for (const double term : log_term) sum += std::exp(term - largest);
    // The error of the sum, and of each scaling of the sum when a larger term comes: 2.5 ulp and a rounding. A lane
    // scales at most n / 32 times, or once, and the sum over the lanes is scaled once more.
    double of_row = of_sum + (static_cast<double>(n) / 32 + 2) * 6 * 0x1p-24;
    Vector responsibility;
    for (Index c = 0; c < n; ++c) {
      const double below = largest - log_term[c];
      responsibility.push_back(std::exp(-below) / sum);
      of_row += responsibility[c] * (error[c] + below * 0x1p-23);
    }
    out.log_p[r] = of_row + 0x1p-23 * (std::fabs(largest) + 4 * std::log(sum));
    const double w = std::fabs(weight[r]);
    for (Index c = 0; c < n; ++c) {
      const double below = largest - log_term[c], p = responsibility[c];
      const double off = p * std::expm1(error[c] + of_row + below * 0x1p-23 + 8 * 0x1p-24) + 2e-38;
      out.responsibilities[r * n + c] = off;
      out.dlogits[c] += w * (off + 2 * weights[c] * of_sum * (1 + std::log(n))) +
                        (weight_error + w * sum_error(s.rows)) * (p + weights[c]);
      for (Index l = 0; l < L; ++l) {
        const double standard = std::fabs(u(c, l)), slope = standard / std::exp(components[(c * 2 + 1) * L + l] / 2),
                     square = standard * standard;
        const auto of_terms = [&](Index terms) {
          return w * (off + p * (0x1p-20 + sum_error(terms))) + weight_error * p;
        };
        out.dz[r * L + l] += of_terms(n) * slope;
        out.dcomponents[c * 2 * L + l] += of_terms(s.rows) * slope;
        out.dcomponents[(c * 2 + 1) * L + l] += of_terms(s.rows) * (square + 1) / 2;
      }
    }
  }
  return out;
}

}  // namespace cuvae::test
