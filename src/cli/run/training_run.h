// Trains in a run folder, from the first step or from a checkpoint, and writes the pictures. Used by train and resume.
#pragma once
#include "cli/arguments/settings.h"
#include "cli/run/run_folder.h"

namespace cuvae::cli {

/// Returns the exit code. Reads and removes only files of the run.
int run_training(const RunFolder& folder, const Settings& settings, Trainer& trainer, const Dataset& data, bool quiet);

}  // namespace cuvae::cli
