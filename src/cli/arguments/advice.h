// Warnings before and after training, for settings that do not suit the data.
#pragma once
#include <string>
#include <vector>

#include "cli/arguments/settings.h"
#include "cuvae/dataset.h"

namespace cuvae::cli {

/// One line if all values of the data are equal, else none.
std::vector<std::string> data_advice(const Dataset& data);

/// Warns, for a Gaussian likelihood, if the data are too close to the decoder's first output or too far from it.
/// That output is 0, or the columns' means with --output-bias-from-data. The distance u is a root mean square, in
/// units of the scale; 0.02 to 50 is fine. Training can raise log p(x|z) by u^2/2 nats per value: below 2e-4 no
/// latent is worth its KL, above 1250 the gradients are far too large.
std::vector<std::string> scale_advice(const Settings& settings, const Dataset& data);

/// Warns about learned scales and log variances that are at their clamps after training.
std::vector<std::string> clamp_advice(const Settings& settings, const Vae& vae, const Metrics& metrics);

}  // namespace cuvae::cli
