// One training step of a model, ready to be measured.
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

/// The models that are measured: the standard one, and the two-layer model of Burda et al. 2015 with its bound over 5
/// samples.
enum class StepModel : std::uint8_t { standard, two_layers };

/// What a step computes.
struct StepCase {
  StepCase(StepModel kind, Index batch);
  VaeConfig model;
  TrainConfig training;
};

/// A network of a step's model. The products of its layers are y = x w^T, dw = dy^T x and dx = dy w.
struct NetworkShape {
  Index rows;
  std::vector<Index> widths;  ///< {in, hidden..., out}
  bool reads_data;            ///< then the first layer has no dx
};
std::vector<NetworkShape> networks_of(const StepCase& c);

/// `backend` and `data` must outlive the result.
std::unique_ptr<StepBench> cpu_step(Backend& backend, const Dataset& data, int threads, const StepCase& c);
std::unique_ptr<StepBench> cuda_step(const std::string& device, Precision precision, const Dataset& data,
                                     const StepCase& c);

/// All row numbers in shuffled order, the same in every run.
std::vector<std::uint32_t> shuffled(Index rows);

}  // namespace cuvae::bench
