// bernoulli_log_prob: log p of latents from their logits, with its gradient. A group of lanes takes a row, as many as
// it has packs of four. The gradient of logits that all rows share is a sum over the rows: of chunks, then of these.
// Moved per latent of a row: 8 bytes read, as bf16 6, and 4 written for dlogits, as bf16 2. Of shared logits 4 bytes
// read for log p and 4 for the gradient, as bf16 2.
#include "lanes.cuh"
#include "launch.h"
#include "math/bernoulli.h"
#include "math/likelihoods.h"

namespace cuvae::cuda {
namespace {

constexpr int kLatents = 4;  // 16 bytes of logits

bool is_shared(const BernoulliLogProb& op) { return op.logits.rows == 1; }

// The code does not depend on which outputs are given, so that each output has the same bits.
template <class T, int N>
__global__ void __launch_bounds__(kThreads, 4) bernoulli_rows(const BernoulliLogProb op, bool shared, unsigned lanes) {
  const Index L = op.z.cols, rows = op.z.rows, rows_per_block = kThreads / lanes;
  const unsigned lane = threadIdx.x % lanes;
  for (Index base = blockIdx.x * rows_per_block; base < rows; base += gridDim.x * rows_per_block) {
    const Index r = base + threadIdx.x / lanes;
    float sum = 0.0f;
    if (r < rows) {
      const float weight = math::at(op.row_weight, r);
      for (Index l = static_cast<Index>(lane) * N; l < L; l += static_cast<Index>(lanes) * N) {
        const Pack<N> z = load<N>(data_of<T>(op.z) + r * L + l),
                      logits = load<N>(data_of(op.logits) + (shared ? 0 : r * L) + l);
        Pack<N> dlogits;
#pragma unroll
        for (int j = 0; j < N; ++j) {
          float log_p, score;
          math::BernoulliFormula::log_prob(&logits.v[j], z.v[j], log_p, &score);
          sum += log_p;
          dlogits.v[j] = weight * score;
        }
        if (op.dlogits.data != nullptr && !shared) store(data_of<T>(op.dlogits) + r * L + l, dlogits);
      }
    }
    sum = lanes_sum(sum, lanes);
    if (r < rows && lane == 0 && op.log_p.data != nullptr)
      data_of(op.log_p)[r] = op.add ? data_of(op.log_p)[r] + sum : sum;
  }
}

__device__ void put(const BernoulliLogProb& op, Index l, float sum) {
  store_as(op.dlogits, l, op.gradients == Gradients::add ? data_of(op.dlogits)[l] + sum : sum);
}

// Block (t, c) sums columns [t, t + 1) * 32 over rows [c, c + 1) * rows_per_chunk into row c of partials, or, where
// these are all rows, into dlogits.
template <class T>
__global__ void __launch_bounds__(kThreads, 4)
    bernoulli_columns(const BernoulliLogProb op, Index rows_per_chunk, float* partials) {
  const Index L = op.z.cols, rows = op.z.rows, begin = blockIdx.y * rows_per_chunk,
              end = begin + rows_per_chunk < rows ? begin + rows_per_chunk : rows;
  for (Index first = static_cast<Index>(blockIdx.x) * kWarp; first < L;
       first += static_cast<Index>(gridDim.x) * kWarp) {
    const Index l = first + threadIdx.x % kWarp;
    const float logit = l < L ? data_of(op.logits)[l] : 0.0f, q = math::rarer_probability(logit);
    const float sum = column_sum<float>(begin, end, [&](Index r) {
      return l < L ? math::at(op.row_weight, r) *
                         math::bernoulli_score(logit, q, load<1>(data_of<T>(op.z) + r * L + l).v[0])
                   : 0.0f;
    });
    if (threadIdx.x >= kWarp || l >= L) continue;
    if (gridDim.y == 1) {
      put(op, l, sum);
    } else {
      partials[blockIdx.y * L + l] = sum;
    }
  }
}

/// The gradient from the chunks' sums.
__global__ void __launch_bounds__(kThreads, 4)
    bernoulli_sums(const BernoulliLogProb op, Index chunks, const float* partials) {
  const Index L = op.z.cols;
  for (Index l = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; l < L;
       l += static_cast<Index>(gridDim.x) * blockDim.x) {
    float sum = 0.0f;
    for (Index c = 0; c < chunks; ++c) sum += partials[c * L + l];
    put(op, l, sum);
  }
}

Index sums_chunk(Index rows) { return chunk_rows(rows, 256, 64); }

}  // namespace

std::size_t scratch_bytes(const BernoulliLogProb& op) {
  if (!op.dlogits || !is_shared(op)) return 0;
  return static_cast<std::size_t>(ceil_div(op.z.rows, sums_chunk(op.z.rows)) * op.z.cols) * sizeof(float);
}

cudaError_t launch(const BernoulliLogProb& op, Scratch scratch, cudaStream_t stream) {
  const Index rows = op.z.rows, latent = op.z.cols;
  const bool shared = is_shared(op), sums = shared && op.dlogits;
  if (op.log_p || !sums) {
    const bool packs = latent % kLatents == 0 && aligned(op.z, op.logits, shared ? View{} : op.dlogits);
    const unsigned lanes = lanes_for(packs ? latent / kLatents : latent);
    const cudaError_t error = with_type(op.z.dtype, [&]<class T>() {
      return start(packs ? bernoulli_rows<T, kLatents> : bernoulli_rows<T, 1>, grid_for(rows, kThreads / lanes),
                   kThreads, stream, op, shared, lanes);
    });
    if (error != cudaSuccess || !sums) return error;
  }
  const Index of_chunk = sums_chunk(rows), chunks = ceil_div(rows, of_chunk);
  auto* partials = static_cast<float*>(scratch.partials);
  const cudaError_t error = with_type(op.z.dtype, [&]<class T>() {
    return start(bernoulli_columns<T>, dim3(grid_for(latent, kWarp), static_cast<unsigned>(chunks)), kThreads, stream,
                 op, of_chunk, partials);
  });
  if (error != cudaSuccess || chunks == 1) return error;
  return start(bernoulli_sums, grid_for(latent, kThreads), kThreads, stream, op, chunks,
               static_cast<const float*>(partials));
}

}  // namespace cuvae::cuda
