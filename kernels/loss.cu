// elbo_loss: one block adds log p and the KL up in doubles, and the metrics.
// Moved: 4 bytes a sample row, 4 a batch row, 20 a latent dimension. Too little for more than one block to pay.
#include <cmath>

#include "common.cuh"
#include "launch.h"
#include "math/formulas.h"

namespace cuvae::cuda {
namespace {

constexpr int kLossThreads = 1024;

// The sum of f(i) over [0, n), on every thread.
template <class F>
__device__ double sum_of(Index n, F f) {
  double sum = 0.0;
  for (Index i = threadIdx.x; i < n; i += kLossThreads) sum += static_cast<double>(f(i));
  return row_sum(sum);
}

__global__ void __launch_bounds__(kLossThreads) elbo_loss(const ElboLoss op) {
  const double reconstruction = sum_of(op.rows, [&](Index i) { return op.log_p[i]; }) / static_cast<double>(op.rows);
  const double kl = sum_of(op.batch, [&](Index i) { return op.kl[i]; }) / static_cast<double>(op.batch);
  double penalty = kl;
  const float free_bits = op.weight.free_bits;
  if (free_bits > 0.0f) {
    const double held = sum_of(op.latent, [&](Index l) {
      const float k = op.kl_dims[l];
      return k > free_bits ? k : free_bits;
    });
    if (std::isfinite(kl)) penalty = held;  // the comparison hides a NaN
  }
  const double value = -reconstruction + static_cast<double>(math::kl_weight(op.weight, *op.step)) * penalty;
  const bool finite = std::isfinite(static_cast<float>(value));
  if (threadIdx.x == 0) {
    *op.loss = static_cast<float>(value);
    if (finite) {
      op.sums[metric::steps] += 1.0;
      op.sums[metric::loss] += value;
      op.sums[metric::reconstruction] += reconstruction;
      op.sums[metric::kl] += kl;
    }
  }
  if (!finite) return;
  for (Index l = threadIdx.x; l < op.latent; l += kLossThreads)
    op.sums[metric::kl_dims + l] += static_cast<double>(op.kl_dims[l]);
}

}  // namespace

cudaError_t launch(const ElboLoss& op, cudaStream_t stream) { return start(elbo_loss, 1, kLossThreads, stream, op); }

}  // namespace cuvae::cuda
