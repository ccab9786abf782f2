// Latent dimensions that carry nothing, or whose log variance is out of range.
#pragma once
#include "cuvae/backend.h"

namespace cuvae {

/// The number of latent dimensions whose posterior mean has a variance above 0.01 (Burda et al. 2015, section 5.2),
/// from the moments [1 + 4L] of stats [B, 2L]. Waits for the device.
Index active_units(Backend& backend, const Buffer& moments, Index latent);

/// The number of those whose log variance has a mean at or outside of its clamp.
Index clamped_units(Backend& backend, const Buffer& moments, Index latent);

}  // namespace cuvae
