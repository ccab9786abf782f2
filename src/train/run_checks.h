// What a training run needs of its settings, its data and the machine, looked at before any memory is taken for it.
#pragma once
#include "cuvae/dataset.h"
#include "cuvae/trainer.h"

namespace cuvae {

/// Steps in an epoch. Throws Error when there are fewer examples than a batch has.
Index count_steps(const TrainConfig& config, Index examples);

/// Steps in all epochs. Throws Error when they are more than the counter holds.
Index total_steps(const TrainConfig& config, Index steps_per_epoch);

/// check_data_fits(), and throws unless the data are divided as the run says and have as many training examples.
void check_run_data(const Dataset& data, const VaeConfig& model, const TrainConfig& config, Index examples);

/// Bytes that training takes, rounded down: parameters, optimizer, and all layers' results for a batch.
double training_bytes(const VaeConfig& model, const TrainConfig& config);

/// Throws Error "needs about 12 GiB of memory, but at most 8 GiB are there" where the bytes exceed the machine's
/// memory, the limit of the control group, or the process's own (ulimit -v).
void check_memory(const char* what, double bytes);

}  // namespace cuvae
