// The latent variable: samples, their densities, and the gradient by the statistics.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "reference.h"

namespace cuvae::reference {
namespace {

Index count(const Vector& v) { return static_cast<Index>(v.size()); }
double log_normal(double x, double mean, double scale) {
  return -std::pow((x - mean) / scale, 2) / 2 - std::log(scale) - std::log(2 * std::numbers::pi) / 2;
}

}  // namespace

double sample_normal(const NoiseKey& noise, Index samples, Index latent, Index row, Index l) {
  const bool mirrored = noise.antithetic && row % samples % 2 == 1;
  const double eps = normal(noise, (noise.first_row * samples + (mirrored ? row - 1 : row)) * latent + l);
  return mirrored ? -eps : eps;
}

double optimal_baseline(const Vector& costs, const Vector& scores, Index k) {
  double weighted = 0, squares = 0;
  for (Index j = 0; j < count(scores); ++j)
    if (j != k) weighted += costs[j] * scores[j] * scores[j], squares += scores[j] * scores[j];
  return squares > 0 ? weighted / squares : 0;
}

Latent sample_latent(const Vector& stats, const NoiseKey& noise, Index samples, Index latent) {
  const Index batch = count(stats) / (2 * latent);
  const Vector rows(batch * samples);
  Latent out{Vector(batch * samples * latent), Vector(batch), Vector(latent), rows, rows, rows};
  for (Index b = 0; b < batch; ++b)
    for (Index l = 0; l < latent; ++l) {
      const double mu = stats[b * 2 * latent + l];
      const double logvar = std::clamp<double>(stats[b * 2 * latent + latent + l], kLogVarMin, kLogVarMax);
      for (Index k = 0; k < samples; ++k) {
        const Index r = b * samples + k;
        const double sigma = std::exp(logvar / 2);
        const double eps = sample_normal(noise, samples, latent, r, l), z = mu + sigma * eps;
        out.z[r * latent + l] = z;
        out.log_p_z[r] += log_normal(z, 0, 1);
        out.log_q[r] += log_normal(z, mu, sigma);
        out.score_norm[r] += std::pow(eps / sigma, 2) + std::pow((eps * eps - 1) / 2, 2);
      }
      const double kl = (mu * mu + std::expm1(logvar) - logvar) / 2;
      out.kl[b] += kl;
      out.kl_dims[l] += kl / static_cast<double>(batch);
    }
  return out;
}

double beta(const KlWeight& weight, std::uint32_t step) {
  return weight.beta *
         (weight.warmup_steps == 0 ? 1.0 : std::min(1.0, static_cast<double>(step) / weight.warmup_steps));
}

Vector latent_backward(const Vector& stats, const NoiseKey& noise, const Vector& dz, const KlWeight& weight,
                       const Vector& kl_dims, double kl_scale, Index samples, Index latent) {
  Vector dstats(stats.size());
  for (Index b = 0; b < count(stats) / (2 * latent); ++b)
    for (Index l = 0; l < latent; ++l) {
      const double mu = stats[b * 2 * latent + l], raw = stats[b * 2 * latent + latent + l];
      const double logvar = std::clamp<double>(raw, kLogVarMin, kLogVarMax);
      const double s = kl_dims[l] < weight.free_bits ? 0 : kl_scale * beta(weight, noise.step);
      double dmu = s * mu, dlogvar = s * std::expm1(logvar) / 2;
      for (Index k = 0; k < samples; ++k) {
        const double d = dz[(b * samples + k) * latent + l];
        dmu += d;
        dlogvar += d * std::exp(logvar / 2) / 2 * sample_normal(noise, samples, latent, b * samples + k, l);
      }
      dstats[b * 2 * latent + l] = dmu;
      dstats[b * 2 * latent + latent + l] = clamp_gradient(dlogvar, raw, kLogVarMin, kLogVarMax);
    }
  return dstats;
}

Vector latent_terms_backward(const LatentTerms& terms, const Vector& stats, const NoiseKey& noise, const Vector& dz,
                             Index samples, Index latent) {
  Vector dstats(stats.size());
  for (Index b = 0; b < count(stats) / (2 * latent); ++b)
    for (Index l = 0; l < latent; ++l) {
      const double mu = stats[b * 2 * latent + l], raw = stats[b * 2 * latent + latent + l];
      const double sigma = std::exp(std::clamp<double>(raw, kLogVarMin, kLogVarMax) / 2);
      double dmu = 0, dlogvar = -terms.entropy / 2;
      for (Index k = 0; k < samples; ++k) {
        const Index r = b * samples + k;
        const double eps = sample_normal(noise, samples, latent, r, l), z = mu + sigma * eps;
        const auto through_z = [&](double slope) { dmu += slope, dlogvar += slope * sigma * eps / 2; };
        through_z(terms.path[r] * dz[r * latent + l]);
        const double weight = terms.path[r] * terms.density[r];
        through_z(weight * z);             // -log p(z)
        through_z(weight * -eps / sigma);  // log q by z
        if (!terms.stick_the_landing) {    // log q by its own parameters
          dmu += weight * eps / sigma;
          dlogvar += weight * (eps * eps - 1) / 2;
        }
        Vector by_mu, by_logvar;  // the scores of the row's samples, without common terms
        for (Index j = 0; j < samples && terms.optimal_baseline; ++j) {
          by_mu.push_back(sample_normal(noise, samples, latent, b * samples + j, l));
          by_logvar.push_back(by_mu.back() * by_mu.back() - 1);
        }
        const Vector c(terms.score.begin() + b * samples, terms.score.begin() + (b + 1) * samples);
        dmu -= (c[k] - optimal_baseline(c, by_mu, k)) * eps / sigma;
        dlogvar -= (c[k] - optimal_baseline(c, by_logvar, k)) * (eps * eps - 1) / 2;
      }
      dstats[b * 2 * latent + l] = dmu;
      dstats[b * 2 * latent + latent + l] = clamp_gradient(dlogvar, raw, kLogVarMin, kLogVarMax);
    }
  return dstats;
}

}  // namespace cuvae::reference
