// Warnings: settings and data that do not suit each other, told before and after a training.
#pragma once
#include <string>
#include <vector>

#include "cli/arguments/settings.h"
#include "cuvae/dataset.h"

namespace cuvae::cli {

/// A line for data that are constant.
std::vector<std::string> data_advice(const Dataset& data);

/// Lines for a Gaussian likelihood where the data's distance from the decoder's first output (0, or the columns' means
/// with --output-bias-from-data) has a root mean square u outside of 0.02 to 50 scales. log p(x|z) can then gain u^2/2
/// per value: below 2e-4 nats, where no latent pays for its KL, or above 1250, where steps are far too small or large.
std::vector<std::string> scale_advice(const Settings& settings, const Dataset& data);

/// Lines for learned scales and log variances that training left at their clamps.
std::vector<std::string> clamp_advice(const Settings& settings, const Vae& vae, const Metrics& metrics);

}  // namespace cuvae::cli
