// The commands for CUDA devices in a build without the CUDA backend.
#include "step.h"

namespace cuvae::bench {

void add_kernels(CLI::App& app) {
  auto* c = app.add_subcommand("kernels", "Time every kernel and product on a CUDA device; not in this build");
  c->allow_extras();
  c->callback([] { throw Error("kernels: this build has no CUDA backend"); });
}

std::unique_ptr<StepBench> cuda_step(const std::string& device, Precision, const Dataset&, const StepCase&) {
  throw Error("step: this build has no CUDA backend for device '" + device + "'");
}

}  // namespace cuvae::bench
