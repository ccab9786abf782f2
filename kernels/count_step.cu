// count_step: the metrics of a step of several ranks. One block: it moves 16 bytes for each sum, 128 for each latent.
#include "launch.h"
#include "loss.cuh"

namespace cuvae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) count_step(const CountStep op) {
  const bool counts = std::isfinite(*op.loss);
  for (Index i = threadIdx.x; i < metric::kl_dims + op.latent; i += kThreads) {
    if (counts) op.sums[i] += op.of_step[i];
    op.of_step[i] = 0.0;
  }
  ElboLoss moments;
  moments.step_moments = op.step_moments, moments.moments = op.moments, moments.latent = op.latent;
  move_moments(moments, counts);
}

}  // namespace

cudaError_t launch(const CountStep& op, cudaStream_t stream) { return start(count_step, 1, kThreads, stream, op); }

}  // namespace cuvae::cuda
