// One training step of the standard model, ready to be measured.
#pragma once
#include <nlohmann/json.hpp>

#include "bench.h"

namespace cuvae::bench {

class StepBench {
 public:
  virtual ~StepBench() = default;
  /// Times steps and, in turn, only their matrix products, for about `seconds`. Returns one record.
  virtual nlohmann::json measure(double seconds) = 0;
};

/// `backend` and `data` must outlive the result.
std::unique_ptr<StepBench> cpu_step(Backend& backend, const Dataset& data, int threads, Index batch);
std::unique_ptr<StepBench> cuda_step(const std::string& device, Precision precision, const Dataset& data, Index batch);

/// The training settings of the steps.
TrainConfig step_training(Index batch);
/// All row numbers in shuffled order, the same in every run.
std::vector<std::uint32_t> shuffled(Index rows);

}  // namespace cuvae::bench
