// Ladder inference: the product of two Gaussians, from their precisions.
#include <algorithm>
#include <cmath>

#include "reference.h"

namespace cuvae::reference {
namespace {

double precision(double logvar) { return std::exp(-std::clamp<double>(logvar, kLogVarMin, kLogVarMax)); }

}  // namespace

Vector merge_gaussians(const Vector& prior, const Vector& bottom_up, Index samples, Index latent) {
  Vector merged(prior.size());
  for (Index r = 0; r < static_cast<Index>(prior.size()) / (2 * latent); ++r)
    for (Index l = 0; l < latent; ++l) {
      const Index at = r * 2 * latent + l, of_b = r / samples * 2 * latent + l;
      const double p = precision(prior[at + latent]), b = precision(bottom_up[of_b + latent]);
      merged[at] = (p * prior[at] + b * bottom_up[of_b]) / (p + b);
      merged[at + latent] = -std::log(p + b);
    }
  return merged;
}

MergeGradients merge_gaussians_backward(const Vector& prior, const Vector& bottom_up, const Vector& dmerged,
                                        const Vector& dmean, Index samples, Index latent) {
  MergeGradients out{Vector(prior.size()), Vector(bottom_up.size()), Vector(prior.size()), Vector(bottom_up.size())};
  const Vector merged = merge_gaussians(prior, bottom_up, samples, latent);
  for (Index r = 0; r < static_cast<Index>(prior.size()) / (2 * latent); ++r)
    for (Index l = 0; l < latent; ++l) {
      const Index at = r * 2 * latent + l, of_b = r / samples * 2 * latent + l;
      const double p = precision(prior[at + latent]), b = precision(bottom_up[of_b + latent]), variance = 1 / (p + b);
      const double dmu = dmerged[at], dlogvar = dmerged[at + latent];
      // By a precision: the mean moves towards its own, and the log variance falls; d precision / d logvar =
      // -precision.
      const double by_p = -p * variance * ((prior[at] - merged[at]) * dmu - dlogvar),
                   by_b = -b * variance * ((bottom_up[of_b] - merged[at]) * dmu - dlogvar);
      out.dprior[at] = p * variance * dmu;
      out.dprior[at + latent] = clamp_gradient(by_p, prior[at + latent], kLogVarMin, kLogVarMax);
      out.dbottom_up[of_b] += b * variance * dmu;
      out.dbottom_up[of_b + latent] += by_b;
      const double size = std::fabs((bottom_up[of_b] - prior[at]) * dmu) * p * b * variance * variance;
      out.size_of_prior[at] = std::fabs(out.dprior[at]);
      out.size_of_prior[at + latent] = size + p * variance * std::fabs(dlogvar);
      out.size_of_bottom_up[of_b] += b * variance * std::fabs(dmu);
      out.size_of_bottom_up[of_b + latent] += size + b * variance * std::fabs(dlogvar);
    }
  for (Index i = 0; i < static_cast<Index>(bottom_up.size()); ++i) {
    const Index row = i / (2 * latent), l = i % (2 * latent);
    if (l < latent && !dmean.empty()) out.dbottom_up[i] += dmean[row * latent + l];
    if (l >= latent) out.dbottom_up[i] = clamp_gradient(out.dbottom_up[i], bottom_up[i], kLogVarMin, kLogVarMax);
  }
  return out;
}

}  // namespace cuvae::reference
