// Probes, point by point, and the sums over them.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "reference.h"

namespace cuvae::reference {
namespace {

constexpr double kUlp = 0x1p-24;

struct Value {
  double value, error;
};

// The error of a Box-Muller radius, as in normal_error.
Value rayleigh(const NoiseKey& noise, std::uint64_t index) {
  const double r = std::sqrt(-2 * std::log(uniform(noise, index)));
  return {r, std::min(kUlp / r, std::sqrt(2 * kUlp)) + 8 * r * kUlp};
}

// The error of a norm is at most that of all its components together, plus a few roundings.
Value maxwell(const NoiseKey& noise, std::uint64_t sign, std::uint64_t normals) {
  double square = 0, error = 0;
  for (std::uint64_t i = normals; i < normals + 3; ++i) {
    square += std::pow(normal(noise, i), 2);
    error += normal_error(noise, i);
  }
  return {std::copysign(std::sqrt(square), uniform(noise, sign) - 0.5), error + 4 * std::sqrt(square) * kUlp};
}

double sigma_of(double logvar) { return std::exp(std::clamp<double>(logvar, kLogVarMin, kLogVarMax) / 2); }

}  // namespace

Probes place_probes(Estimator estimator, const Vector& stats, const NoiseKey& noise, Index samples, Index latent) {
  NoiseKey own = noise;
  own.stream = Stream::estimator;
  Probes out;
  // mu + sigma v: sigma errs by some 6 roundings, the product and the sum by one each.
  const auto place = [&](double mu, double logvar, const Value& v) {
    const double sigma = sigma_of(logvar);
    out.z.push_back(mu + sigma * v.value);
    out.error.push_back(sigma * (v.error + 8 * kUlp * std::fabs(v.value)) + 2 * kUlp * std::fabs(mu));
  };
  for (Index b = 0; b < static_cast<Index>(stats.size()) / (2 * latent); ++b) {
    const double *mu = stats.data() + b * 2 * latent, *logvar = mu + latent;
    if (estimator == Estimator::delta) {
      for (Index row = -1; row < 2 * latent; ++row)
        for (Index l = 0; l < latent; ++l)
          place(mu[l], logvar[l], {row < 0 || l != row / 2 ? 0.0 : row % 2 == 0 ? 1.0 : -1.0, 0});
      continue;
    }
    for (Index k = 0; k < samples; ++k)
      for (Index i = 0; i < latent; ++i) {
        const Index first = ((noise.first_row + b) * samples + k) * latent;
        const std::uint64_t word = 8 * static_cast<std::uint64_t>(first + i);
        const Value above = rayleigh(own, word), m = maxwell(own, word + 3, word + 4);
        Value below = above, last{normal(own, word + 7), normal_error(own, word + 7)};
        if (estimator == Estimator::measure_valued) {
          const double u = uniform(own, word + 2);
          last = {m.value * u, m.error + 2 * kUlp * std::fabs(m.value)};
        } else {
          below = rayleigh(own, word + 1);
        }
        below.value = -below.value;
        for (const Value& v : {above, below, m, last})
          for (Index l = 0; l < latent; ++l)
            place(mu[l], logvar[l], l == i ? v : Value{normal(noise, first + l), normal_error(noise, first + l)});
      }
  }
  return out;
}

Vector probe_backward(Estimator estimator, const Vector& stats, const NoiseKey& noise, const Vector& log_p,
                      const Vector& log_p_probes, Index samples, Index latent) {
  Vector dstats(stats.size());
  const Index batch = static_cast<Index>(stats.size()) / (2 * latent);
  const double rows = static_cast<double>(batch * samples);
  for (Index b = 0; b < batch; ++b)
    for (Index l = 0; l < latent; ++l) {
      const Index at = b * 2 * latent + l;
      const double sigma = sigma_of(stats[at + latent]);
      double by_mu = 0, by_logvar = 0;
      for (Index k = 0; k < samples; ++k) {
        const Index r = b * samples + k;
        if (estimator != Estimator::delta) {
          const double* f = log_p_probes.data() + (r * latent + l) * 4;
          by_mu += (f[0] - f[1]) / (sigma * std::sqrt(2 * std::numbers::pi));
          by_logvar += sigma / 2 * ((f[2] - f[3]) / sigma);
          continue;
        }
        // f(mu) + slope (z - mu) + second / 2 (z - mu)^2 in each latent, its expectation differentiated.
        const double* f = log_p_probes.data() + b * (2 * latent + 1);
        const auto slope = [&](Index i, double s) { return (f[1 + 2 * i] - f[2 + 2 * i]) / (2 * s); };
        const auto second = [&](Index i, double s) { return (f[1 + 2 * i] - 2 * f[0] + f[2 + 2 * i]) / (s * s); };
        double h = f[0];
        for (Index i = 0; i < latent; ++i) {
          const double s = sigma_of(stats[b * 2 * latent + latent + i]);
          const double away = s * normal(noise, (noise.first_row * samples + r) * latent + i);
          h += slope(i, s) * away + second(i, s) / 2 * away * away;
        }
        const double eps = normal(noise, (noise.first_row * samples + r) * latent + l);
        by_mu += (log_p[r] - h) * eps / sigma + slope(l, sigma);
        by_logvar += (log_p[r] - h) * (eps * eps - 1) / 2 + second(l, sigma) * sigma * sigma / 2;
      }
      const double raw = stats[at + latent];
      dstats[at] = -by_mu / rows;
      dstats[at + latent] = clamp_gradient(-by_logvar / rows, raw, kLogVarMin, kLogVarMax);
    }
  return dstats;
}

}  // namespace cuvae::reference
