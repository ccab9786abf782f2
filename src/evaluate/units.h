// Counts latent dimensions that depend on the data, and those whose log variance is out of range.
#pragma once
#include <vector>

#include "cuvae/backend.h"

namespace cuvae {

/// The moments [1 + 4L] of stats [B, 2L]: the count, the means and the squared deviations of mu | logvar. Waits for the
/// device.
std::vector<double> read_moments(Backend& backend, const Buffer& moments, Index latent);

/// The number of latent dimensions whose posterior mean has a variance above 0.01 (Burda et al. 2015, section 5.2).
Index active_units(const std::vector<double>& moments, Index latent);

/// The number of latent dimensions whose mean log variance is at a bound of its clamp or beyond it.
Index clamped_units(const std::vector<double>& moments, Index latent);

}  // namespace cuvae
