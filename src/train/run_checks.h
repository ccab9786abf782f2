// Checks of a training run's settings, data and memory, before any memory is allocated for it.
#pragma once
#include "cuvae/dataset.h"
#include "cuvae/trainer.h"

namespace cuvae {

/// Steps in an epoch. Throws Error if there are fewer examples than in a batch.
Index count_steps(const TrainConfig& config, Index examples);

/// Steps in all epochs. Throws Error if there are more than the counter holds.
Index total_steps(const TrainConfig& config, Index steps_per_epoch);

/// Calls check_data_fits(). Also throws Error unless the data were divided by the run's pixel scale and have the run's
/// number of training examples.
void check_run_data(const Dataset& data, const VaeConfig& model, const TrainConfig& config, Index examples);

/// A lower bound of the bytes that training needs: parameters, optimizer, and all layers' results for a batch.
double training_bytes(const VaeConfig& model, const TrainConfig& config);

/// Throws Error "needs about 12 GiB of memory, but only 8 GiB are available" if the bytes exceed the machine's memory,
/// the limit of the control group, or the limit of the process (ulimit -v).
void check_memory(const char* what, double bytes);

}  // namespace cuvae
