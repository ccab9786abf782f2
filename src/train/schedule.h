// From passes over the data, as configurations say it, to steps, as the device counts them.
#pragma once
#include "cuvae/trainer.h"

namespace cuvae {

KlWeight kl_weight(const TrainConfig& config, Index steps_per_epoch);
OptimizerStep optimizer_step(const TrainConfig& config, Index steps_per_epoch);

/// Throws Error when a time that is above 0 rounds to no step.
void check_durations(const TrainConfig& config, Index steps_per_epoch);

}  // namespace cuvae
