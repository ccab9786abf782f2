// Conversion of schedules from passes over the data, as in configurations, to steps, as the device counts.
#pragma once
#include "cuvae/trainer.h"

namespace cuvae {

KlWeight kl_weight(const TrainConfig& config, Index steps_per_epoch);
OptimizerStep optimizer_step(const TrainConfig& config, Index steps_per_epoch);

/// Throws Error if a duration above 0 rounds to 0 steps.
void check_durations(const TrainConfig& config, Index steps_per_epoch);

}  // namespace cuvae
