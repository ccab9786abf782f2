// The ELBO and the metrics, computed by the last block of a likelihood, with sums in double.
// Moved: 4 bytes a sample row, 4 a batch row, 20 a latent dimension, 128 more with moments. More than one block would
// not be faster.
#pragma once
#include <cmath>

#include "common.cuh"
#include "cuvae/types.h"
#include "math/formulas.h"

namespace cuvae::cuda {
namespace {

/// The sum of f(i) over [0, n) by the whole block, on every thread.
template <class F>
__device__ double sum_of(Index n, F f) {
  const unsigned threads = blockDim.x * blockDim.y;
  double sum = 0.0;
#pragma unroll 16
  for (Index i = threadIdx.y * blockDim.x + threadIdx.x; i < n; i += threads) sum += static_cast<double>(f(i));
  return block_sum(sum);
}

/// Merges the step's moments into those of the steps before where `counts`, and empties them.
__device__ inline void move_moments(const ElboLoss& op, bool counts) {
  double *from = op.step_moments, *to = op.moments;
  const unsigned threads = blockDim.x * blockDim.y, thread = threadIdx.y * blockDim.x + threadIdx.x;
  const Index cols = op.moment_columns();
  const double n = from[0], before = to[0], total = before + n;
  for (Index c = 1 + thread; c <= cols; c += threads) {
    if (counts) {
      const double delta = from[c] - to[c];
      to[c] += delta * n / total;
      to[cols + c] += from[cols + c] + delta * delta * before * n / total;
    }
    from[c] = from[cols + c] = 0.0;
  }
  __syncthreads();  // all have read the counts
  if (thread != 0) return;
  if (counts) to[0] = total;
  from[0] = 0.0;
}

/// log_p [rows] and `bound` [batch], whose loss it is if there is one, may have been written by this launch.
__device__ inline void elbo_loss(const ElboLoss& op, const float* log_p, Index rows, const float* bound = nullptr,
                                 Index batch = 0) {
  const double reconstruction = sum_of(rows, [&](Index i) { return __ldcg(log_p + i); }) / static_cast<double>(rows);
  const auto mean_of = [](ConstView v) {
    return sum_of(v.rows, [&](Index i) { return data_of(v)[i]; }) / static_cast<double>(v.rows);
  };
  const double kl = op.log_q.data != nullptr ? mean_of(op.log_q) - mean_of(op.log_p_z) : mean_of(op.kl);
  double penalty = kl;
  const float free_bits = op.weight.free_bits;
  if (free_bits > 0.0f) {
    const double held = sum_of(op.kl_dims.cols, [&](Index l) {
      const float k = data_of(op.kl_dims)[l];
      return k > free_bits ? k : free_bits;
    });
    if (std::isfinite(kl)) penalty = held;  // the comparison hides a NaN
  }
  double value = -reconstruction + static_cast<double>(math::kl_weight(op.weight, *op.step)) * penalty;
  if (bound != nullptr) value = -sum_of(batch, [&](Index b) { return __ldcg(bound + b); }) / static_cast<double>(batch);
  const bool finite = std::isfinite(static_cast<float>(value));
  if (op.step_moments != nullptr) move_moments(op, finite);
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
  if (thread == 0) {
    *op.loss = static_cast<float>(value);
    if (finite) {
      op.sums[metric::steps] += 1.0;
      op.sums[metric::loss] += value;
      op.sums[metric::reconstruction] += reconstruction;
      op.sums[metric::kl] += kl;
    }
  }
  if (!finite) return;
  for (Index l = thread; l < op.kl_dims.cols; l += blockDim.x * blockDim.y)
    op.sums[metric::kl_dims + l] += static_cast<double>(data_of(op.kl_dims)[l]);
}

}  // namespace
}  // namespace cuvae::cuda
