// Learned priors of latents: a Gaussian for each row, and mixtures of Gaussians.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "reference.h"

namespace cuvae::reference {
namespace {

Index count(const Vector& v) { return static_cast<Index>(v.size()); }

// log N(x; mu, exp(logvar)) of one latent, and its derivatives by mu and the clamped logvar.
struct Normal {
  double log_p, dmu, dlogvar;
};
Normal normal_density(double x, double mu, double logvar) {
  const double v = std::clamp<double>(logvar, kLogVarMin, kLogVarMax), variance = std::exp(v);
  const double square = (x - mu) * (x - mu) / variance;
  return {-(v + square + std::log(2 * std::numbers::pi)) / 2, (x - mu) / variance, (square - 1) / 2};
}

}  // namespace

LatentLogProb latent_log_prob(const Vector& z, const Vector& stats, const RowWeight& row_weight, Index latent) {
  LatentLogProb out{Vector(z.size() / latent), Vector(z.size()), Vector(stats.size())};
  for (Index r = 0; r < count(out.log_p); ++r)
    for (Index l = 0; l < latent; ++l) {
      const Index mu = r * 2 * latent + l, logvar = mu + latent;
      const Normal density = normal_density(z[r * latent + l], stats[mu], stats[logvar]);
      out.log_p[r] += density.log_p;
      out.dz[r * latent + l] = -row_weight[r] * density.dmu;
      out.dstats[mu] = row_weight[r] * density.dmu;
      out.dstats[logvar] = clamp_gradient(row_weight[r] * density.dlogvar, stats[logvar], kLogVarMin, kLogVarMax);
    }
  return out;
}

MixtureLogProb mixture_log_prob(const Vector& z, const Vector& components, const Vector& logits,
                                const RowWeight& row_weight, Index latent) {
  const Index rows = count(z) / latent, n = count(components) / (2 * latent);
  MixtureLogProb out{Vector(rows), Vector(rows * n), Vector(z.size()), Vector(components.size()),
                     Vector(logits.size())};
  Vector weights(n, 1.0 / static_cast<double>(n));
  if (!logits.empty()) {
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit - largest);
    for (Index c = 0; c < n; ++c) weights[c] = std::exp(logits[c] - largest) / sum;
  }
  for (Index r = 0; r < rows; ++r) {
    Vector terms;
    for (Index c = 0; c < n; ++c) {
      double term = std::log(weights[c]);
      for (Index l = 0; l < latent; ++l)
        term += normal_density(z[r * latent + l], components[c * 2 * latent + l], components[(c * 2 + 1) * latent + l])
                    .log_p;
      terms.push_back(term);
    }
    const double largest = *std::max_element(terms.begin(), terms.end());
    double sum = 0;
    for (const double term : terms) sum += std::exp(term - largest);
    out.log_p[r] = largest + std::log(sum);
    for (Index c = 0; c < n; ++c) {
      const double responsibility = std::exp(terms[c] - out.log_p[r]), weighted = row_weight[r] * responsibility;
      out.responsibilities[r * n + c] = responsibility;
      for (Index l = 0; l < latent; ++l) {
        const Index mu = c * 2 * latent + l, logvar = mu + latent;
        const Normal density = normal_density(z[r * latent + l], components[mu], components[logvar]);
        out.dz[r * latent + l] -= weighted * density.dmu;
        out.dcomponents[mu] += weighted * density.dmu;
        out.dcomponents[logvar] += weighted * density.dlogvar;
      }
      if (!logits.empty()) out.dlogits[c] += row_weight[r] * (responsibility - weights[c]);
    }
  }
  for (Index c = 0; c < n; ++c)
    for (Index logvar = (c * 2 + 1) * latent; logvar < (c + 1) * 2 * latent; ++logvar)
      out.dcomponents[logvar] = clamp_gradient(out.dcomponents[logvar], components[logvar], kLogVarMin, kLogVarMax);
  return out;
}

}  // namespace cuvae::reference
