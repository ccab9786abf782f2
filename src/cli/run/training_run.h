// A run in its folder, from its first step or from a checkpoint to its pictures: what train and resume share.
#pragma once
#include "cli/arguments/settings.h"
#include "cli/run/run_folder.h"

namespace cuvae::cli {

/// Returns the exit code. Reads nothing and removes nothing but what belongs to the run.
int run_training(const RunFolder& folder, const Settings& settings, Trainer& trainer, const Dataset& data, bool quiet);

}  // namespace cuvae::cli
