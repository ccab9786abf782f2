// Learned priors of latents: a Gaussian for each row.
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

}  // namespace cuvae::reference
