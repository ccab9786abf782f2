// importance_weights and score_weights: what the K samples of a row count for. A warp takes a row, its lanes the row's
// samples, which it reads from the cache a few times; the last block computes the loss, or the running mean.
// Moved per sample row: 12 bytes read, 4 written; per row of the batch 4 or 8 written.
#include "math/weights.h"

#include "common.cuh"
#include "launch.h"
#include "loss.cuh"

namespace cuvae::cuda {
namespace {

struct Warp {
  Index first;
  static constexpr Index stride = kWarp;
  template <class T>
  __device__ T sum(T v) const {
    return warp_sum(v);
  }
  __device__ float max(float v) const {
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const float other = __shfl_xor_sync(kFullWarp, v, offset);
      v = other > v ? other : v;
    }
    return v;
  }
};

/// f(b, team) for each row b of the batch, by a warp.
template <class F>
__device__ void for_each_row(Index batch, F f) {
  const Warp team{threadIdx.x % kWarp};
  for (Index b = static_cast<Index>(blockIdx.x) * kWarps + threadIdx.x / kWarp; b < batch;
       b += static_cast<Index>(gridDim.x) * kWarps)
    f(b, team);
}

__global__ void __launch_bounds__(kThreads) importance_weights(const ImportanceWeights op, unsigned* ticket) {
  const math::LogWeight log_w{op.log_p_x, op.log_p_z, op.log_q};
  for_each_row(op.batch, [&](Index b, const Warp& team) {
    const Index row = b * op.samples;
    float effective;
    const float bound = math::importance_weights(
        team, op.samples, [&](Index k) { return log_w(row + k); }, op.weights + row, effective);
    if (team.first != 0) return;
    op.bound[b] = bound;
    if (op.effective != nullptr) op.effective[b] = effective;
  });
  if (op.loss.loss != nullptr && is_last_block(ticket, gridDim.x))
    elbo_loss(op.loss, op.log_p_x, op.batch * op.samples, op.bound);
}

__global__ void __launch_bounds__(kThreads) score_weights(const ScoreWeights op, unsigned* ticket) {
  const math::LogWeight log_w{op.log_p_x, op.log_p_z, op.log_q};
  const bool running = op.estimator == Estimator::score_mean;
  const float baseline = running ? math::mean_of(*op.running_mean) : 0.0f;
  for_each_row(op.batch, [&](Index b, const Warp& team) {
    const Index row = b * op.samples;
    const float* norm = op.score_norm == nullptr ? nullptr : op.score_norm + row;
    math::score_weights(
        op.estimator, team, op.samples, [&](Index k) { return log_w(row + k); }, {baseline, norm}, op.score + row);
  });
  // Every block has read the mean before the last one comes here.
  if (!running || !is_last_block(ticket, gridDim.x)) return;
  const Index rows = op.batch * op.samples;
  const double mean = sum_of(rows, log_w) / static_cast<double>(rows);
  if (threadIdx.x == 0) math::update(*op.running_mean, mean);
}

}  // namespace

std::size_t scratch_bytes(const ImportanceWeights&) { return 0; }  // the ticket alone

cudaError_t launch(const ImportanceWeights& op, Scratch scratch, cudaStream_t stream) {
  return start(importance_weights, grid_for(op.batch, kWarps), kThreads, stream, op, scratch.ticket);
}

std::size_t scratch_bytes(const ScoreWeights&) { return 0; }

cudaError_t launch(const ScoreWeights& op, Scratch scratch, cudaStream_t stream) {
  return start(score_weights, grid_for(op.batch, kWarps), kThreads, stream, op, scratch.ticket);
}

}  // namespace cuvae::cuda
