// importance_weights and score_weights: the weights of the K samples of a row. A warp takes a row, its lanes the
// samples, which are read from the cache a few times. The last block computes the loss, or the running means. Moved per
// sample row: 12 bytes read (16 with the scores' norms), 4 written (8 with the path's factors); per row of the batch up
// to 8 of each.
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

__global__ void __launch_bounds__(kThreads, 4)
    importance_weights(const ImportanceWeights op, Index samples, unsigned* ticket) {
  const math::LogWeight log_w{data_of(op.log_p_x), data_of(op.log_p_z), data_of(op.log_q)};
  for_each_row(op.bound.rows, [&](Index b, const Warp& team) {
    const Index row = b * samples;
    float* const weights = data_of(op.weights) + row;
    const auto log_w_of = [&](Index k) { return log_w(row + k); };
    float bound = math::importance_weights(team, samples, log_w_of, weights);
    if (op.effective.data != nullptr) {
      const float effective = math::effective_samples(team, samples, weights);
      if (team.first == 0) data_of(op.effective)[b] = effective;
    }
    if (op.elbo_share > 0.0f)
      bound = math::mix_in_elbo(team, samples, log_w_of, op.elbo_share, bound, weights,
                                op.path.data == nullptr ? nullptr : data_of(op.path) + row);
    if (team.first == 0) data_of(op.bound)[b] = bound;
  });
  if (op.loss.loss != nullptr && is_last_block(ticket, gridDim.x))
    elbo_loss(op.loss, data_of(op.log_p_x), op.log_p_x.rows, data_of(op.bound), op.bound.rows);
}

__global__ void __launch_bounds__(kThreads, 2) score_weights(const ScoreWeights op, unsigned* ticket) {
  const math::LogWeight log_w{data_of(op.log_p_x), data_of(op.log_p_z), data_of(op.log_q)};
  const Index rows = op.score.rows;
  const bool keeps_mean = has_running_mean(op.baseline), learned = has_network(op.baseline);
  const float running = keeps_mean ? math::mean_of(*op.mean) : 0.0f,
              scale = op.baseline == ScoreBaseline::network_scaled ? math::inverse_scale(*op.variance) : 1.0f;
  for_each_row(rows / op.samples, [&](Index b, const Warp& team) {
    const Index row = b * op.samples;
    const auto f = [&](Index k) { return log_w(row + k); };
    const float less = learned ? data_of(op.network)[b] + running : running;
    const float* norm = op.score_norm.data == nullptr ? nullptr : data_of(op.score_norm) + row;
    math::score_weights(op.baseline, team, op.samples, f, {less, scale, norm}, data_of(op.score) + row);
    if (!learned || op.dnetwork.data == nullptr) return;
    const float gradient = math::squares_gradient(team, op.samples, f, less, rows);
    if (team.first == 0) store_as(op.dnetwork, b, gradient);
  });
  // Every block has read the mean before the last one comes here.
  if (!keeps_mean || !op.update_running || !is_last_block(ticket, gridDim.x)) return;
  const auto rest = [&](Index r) {
    const double of_row = learned ? static_cast<double>(data_of(op.network)[r / op.samples]) : 0.0;
    return static_cast<double>(log_w(r)) - of_row;
  };
  const double mean = sum_of(rows, rest) / static_cast<double>(rows);
  if (!learned) {
    if (threadIdx.x == 0) math::update(*op.mean, mean);
    return;
  }
  const double squares = sum_of(rows, [&](Index r) { return (rest(r) - mean) * (rest(r) - mean); });
  if (threadIdx.x == 0) math::update(*op.mean, *op.variance, mean, squares / static_cast<double>(rows));
}

}  // namespace

std::size_t scratch_bytes(const ImportanceWeights&) { return 0; }  // only the ticket

cudaError_t launch(const ImportanceWeights& op, Scratch scratch, cudaStream_t stream) {
  return start(importance_weights, grid_for(op.bound.rows, kWarps), kThreads, stream, op,
               op.log_p_x.rows / op.bound.rows, scratch.ticket);
}

std::size_t scratch_bytes(const ScoreWeights&) { return 0; }

cudaError_t launch(const ScoreWeights& op, Scratch scratch, cudaStream_t stream) {
  return start(score_weights, grid_for(op.score.rows / op.samples, kWarps), kThreads, stream, op, scratch.ticket);
}

}  // namespace cuvae::cuda
