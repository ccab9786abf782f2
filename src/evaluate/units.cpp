#include "evaluate/units.h"

#include <algorithm>
#include <vector>

namespace cuvae {
namespace {

// The count, the means and the squared deviations of mu | logvar.
std::vector<double> read_moments(Backend& backend, const Buffer& moments, Index latent) {
  std::vector<double> m(static_cast<std::size_t>(1 + 4 * latent));
  backend.download(m.data(), moments.data(), m.size() * sizeof(double));
  return m;
}

}  // namespace

Index active_units(Backend& backend, const Buffer& moments, Index latent) {
  const std::vector<double> m = read_moments(backend, moments, latent);
  Index active = 0;
  for (Index l = 0; l < latent; ++l) active += m[static_cast<std::size_t>(1 + 2 * latent + l)] > 0.01 * m[0] ? 1 : 0;
  return active;
}

Index clamped_units(Backend& backend, const Buffer& moments, Index latent) {
  const std::vector<double> m = read_moments(backend, moments, latent);
  const auto logvar = m.begin() + 1 + latent;
  return std::count_if(logvar, logvar + latent, [](double v) { return v <= kLogVarMin || v >= kLogVarMax; });
}

}  // namespace cuvae
