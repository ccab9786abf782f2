// Configurations give schedules in passes over the data; the device counts steps. This converts one to the other.
#pragma once
#include "cuvae/trainer.h"

namespace cuvae {

KlWeight kl_weight(const TrainConfig& config, Index steps_per_epoch);
OptimizerStep optimizer_step(const TrainConfig& config, Index steps_per_epoch);

/// Throws Error if a duration above 0 rounds to 0 steps.
void check_durations(const TrainConfig& config, Index steps_per_epoch);

}  // namespace cuvae
