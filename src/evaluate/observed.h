// What of an example is not missing.
#pragma once
#include <vector>

#include "cuvae/vae.h"

namespace cuvae {

struct ObservedPart {
  Index values = 0;       ///< their number
  double log_volume = 0;  ///< the sum of the log scales of their standardization: log p(x) = log p(x') - log_volume
};

/// Of each row of x [B, D], which is in the model's units and the backend's memory. Waits for the device where the
/// model takes missing values.
std::vector<ObservedPart> observed_parts(const Vae& vae, ConstView x);

}  // namespace cuvae
