#include "evaluate/units.h"

#include <algorithm>

namespace cuvae {

std::vector<double> read_moments(Backend& backend, const Buffer& moments, Index latent) {
  std::vector<double> m(static_cast<std::size_t>(1 + 4 * latent));
  backend.download(m.data(), moments.data(), m.size() * sizeof(double));
  return m;
}

Index active_units(const std::vector<double>& m, Index latent) {
  Index active = 0;
  for (Index l = 0; l < latent; ++l) active += m[static_cast<std::size_t>(1 + 2 * latent + l)] > 0.01 * m[0] ? 1 : 0;
  return active;
}

Index clamped_units(const std::vector<double>& m, Index latent) {
  const auto logvar = m.begin() + 1 + latent;
  return std::count_if(logvar, logvar + latent, [](double v) { return v <= kLogVarMin || v >= kLogVarMax; });
}

}  // namespace cuvae
