// Log-likelihoods and their gradients in one pass. The last block to finish computes the loss. A row of threads sums a
// row of the decoder's output; a block has several rows of threads when rows are short.
// Moved per data value with n outputs: 4 n bytes of outputs and 4 / K of x read, 4 n of gradient written if it is asked
// for. As bf16 each number is half.
#include "common.cuh"
#include "launch.h"
#include "loss.cuh"
#include "math/formulas.h"
#include "math/likelihoods.h"

namespace cuvae::cuda {
namespace {

// No pointer is __restrict__: the gradient may be written over the output. Without gradient the code is the same, so
// that log p has the same bits.
template <class Formula, class T, int N>
__global__ void __launch_bounds__(kThreads, 4) log_prob(const LogProb op, Index samples, unsigned* ticket) {
  constexpr int n = Formula::outputs;
  const Index rows = op.outputs.rows, cols = op.x.cols;
  for (Index base = static_cast<Index>(blockIdx.x) * blockDim.y; base < rows;
       base += static_cast<Index>(gridDim.x) * blockDim.y) {
    const Index r = base + threadIdx.y;
    float sum = 0.0f;
    if (r < rows) {
      const T *outputs = data_of<T>(op.outputs) + r * n * cols, *x = data_of<T>(op.x) + r / samples * cols;
      const float weight = math::at(op.row_weight, r);
      for (Index d = static_cast<Index>(threadIdx.x) * N; d < cols; d += static_cast<Index>(blockDim.x) * N) {
        Pack<N> output[n], gradient[n];
#pragma unroll
        for (int i = 0; i < n; ++i) output[i] = load<N>(outputs + i * cols + d);
        const Pack<N> target = load<N>(x + d);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          float values[n], derivatives[n], log_p;
#pragma unroll
          for (int i = 0; i < n; ++i) values[i] = output[i].v[j];
          Formula::log_prob(values, target.v[j], log_p, derivatives);
          sum += log_p;
#pragma unroll
          for (int i = 0; i < n; ++i) gradient[i].v[j] = Formula::gradient(i, weight * derivatives[i], values[i]);
        }
        if (op.doutputs.data != nullptr) {
#pragma unroll
          for (int i = 0; i < n; ++i) store(data_of<T>(op.doutputs) + (r * n + i) * cols + d, gradient[i]);
        }
      }
    }
    sum = row_sum(sum);
    if (r < rows && threadIdx.x == 0) data_of(op.log_p)[r] = sum;
  }
  if (op.loss.loss != nullptr && is_last_block(ticket, gridDim.x)) elbo_loss(op.loss, data_of(op.log_p), rows);
}

// Block c takes rows [c, c + 1) * rows_per_chunk, in tiles of as many columns as its threads hold, so that a thread
// sums its columns' d/d log s over the rows in registers. partials [chunks * blockDim.y, scales].
template <class T, int N, bool missing>
__global__ void __launch_bounds__(kThreads, 4)
    gaussian(const GaussianLogProb op, Index samples, Index rows_per_chunk, float* partials, unsigned* ticket) {
  const Index D = op.mean.cols, rows = op.mean.rows, begin = blockIdx.x * rows_per_chunk,
              end = begin + rows_per_chunk < rows ? begin + rows_per_chunk : rows;
  const bool one_scale = op.log_scale.cols == 1;
  const Index partial_row = static_cast<Index>(blockIdx.x) * blockDim.y + threadIdx.y;
  float of_all_columns = 0.0f;
  for (Index tile = 0; tile < D; tile += static_cast<Index>(blockDim.x) * N) {
    const Index d = tile + static_cast<Index>(threadIdx.x) * N;
    Pack<N> inv_scale{}, constant{}, dlog_scale{};
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (d + j < D) {
        const float raw = data_of(op.log_scale)[one_scale ? 0 : d + j];
        const float ls = op.learned ? math::clamp(raw, kLogScaleMin, kLogScaleMax) : raw;
        inv_scale.v[j] = math::exp(-ls);
        constant.v[j] = ls + 0.918938533f;  // log(2 pi) / 2
      }
    for (Index base = begin; base < end; base += blockDim.y) {
      const Index r = base + threadIdx.y;
      float sum = 0.0f;
      if (r < end && d < D) {
        const Pack<N> mean = load<N>(data_of<T>(op.mean) + r * D + d),
                      x = load<N>(data_of<T>(op.x) + r / samples * D + d);
        const float weight = math::at(op.row_weight, r);
        Pack<N> dmean;
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (missing && math::is_missing(x.v[j])) {
            dmean.v[j] = 0.0f;
            continue;
          }
          const float difference = x.v[j] - mean.v[j], u = difference * inv_scale.v[j];
          sum += 0.5f * u * u + constant.v[j];
          dlog_scale.v[j] += weight * (u * u - 1.0f);
          dmean.v[j] = weight * u * inv_scale.v[j];
        }
        if (op.dmean.data != nullptr) store(data_of<T>(op.dmean) + r * D + d, dmean);
      }
      sum = row_sum(sum);
      if (r < end && threadIdx.x == 0) data_of(op.log_p)[r] = (tile == 0 ? 0.0f : data_of(op.log_p)[r]) - sum;
    }
    if (one_scale) {
      for (const float g : dlog_scale.v) of_all_columns += g;
    } else if (partials != nullptr && d < D) {
      store(partials + partial_row * D + d, dlog_scale);
    }
  }
  if (one_scale && partials != nullptr) {
    of_all_columns = row_sum(of_all_columns);
    if (threadIdx.x == 0) partials[partial_row] = of_all_columns;
  }
  if (op.loss.loss != nullptr && is_last_block(ticket, gridDim.x)) elbo_loss(op.loss, data_of(op.log_p), rows);
}

// dlog_scale = the column sums of partials [rows, scales], by the rule for values outside of their clamp.
__global__ void __launch_bounds__(kThreads, 4)
    scale_gradient(const GaussianLogProb op, Index rows, const float* partials) {
  const Index scales = op.log_scale.cols;
  for (Index first = static_cast<Index>(blockIdx.x) * kWarp; first < scales;
       first += static_cast<Index>(gridDim.x) * kWarp) {
    const Index d = first + threadIdx.x % kWarp;
    const auto sum = static_cast<float>(column_sum<double>(
        0, rows, [&](Index r) { return d < scales ? static_cast<double>(partials[r * scales + d]) : 0.0; }));
    if (threadIdx.x >= kWarp || d >= scales) continue;
    const float gradient = math::clamp_gradient(sum, data_of(op.log_scale)[d], kLogScaleMin, kLogScaleMax);
    data_of(op.dlog_scale)[d] = op.gradients == Gradients::add ? data_of(op.dlog_scale)[d] + gradient : gradient;
  }
}

Index pack_of(DType type) { return 16 / static_cast<Index>(size_of(type)); }

struct GaussianShape {
  bool packs;
  dim3 block;
  Index rows_per_chunk, chunks;
  explicit GaussianShape(const GaussianLogProb& op)
      : packs(op.mean.cols % pack_of(op.mean.dtype) == 0 && aligned(op.mean, op.x, op.dmean)),
        block(RowBlocks(op.mean.rows, op.mean.cols / (packs ? pack_of(op.mean.dtype) : 1)).block),
        rows_per_chunk(ceil_div(chunk_rows(op.mean.rows, 1, 512), block.y) * block.y),
        chunks(ceil_div(op.mean.rows, rows_per_chunk)) {}
};

}  // namespace

std::size_t scratch_bytes(const LogProb&) { return 0; }  // only the ticket

cudaError_t launch(const LogProb& op, Scratch scratch, cudaStream_t stream) {
  return math::with_likelihood(op.likelihood, op.missing, [&]<class Formula>() {
    if constexpr (math::takes_values_alone<Formula>) {
      return with_type(op.outputs.dtype, [&]<class T>() {
        constexpr int pack = kPack<T> / Formula::outputs;
        const Index rows = op.outputs.rows, cols = op.x.cols;
        const bool packs = cols % pack == 0 && aligned(op.outputs, op.x, op.doutputs);
        const RowBlocks shape(rows, cols / (packs ? pack : 1));
        return start(packs ? log_prob<Formula, T, pack> : log_prob<Formula, T, 1>, shape.grid, shape.block, stream, op,
                     rows / op.x.rows, scratch.ticket);
      });
    } else {
      return cudaErrorInvalidValue;  // LogProb::check refuses it
    }
  });
}

std::size_t scratch_bytes(const GaussianLogProb& op) {
  const GaussianShape shape(op);
  return static_cast<std::size_t>(shape.chunks * shape.block.y * op.log_scale.cols) * sizeof(float);
}

cudaError_t launch(const GaussianLogProb& op, Scratch scratch, cudaStream_t stream) {
  const GaussianShape shape(op);
  float* partials = op.dlog_scale ? static_cast<float*>(scratch.partials) : nullptr;
  const cudaError_t error = with_type(op.mean.dtype, [&]<class T>() {
    const auto kernel = op.missing ? (shape.packs ? gaussian<T, kPack<T>, true> : gaussian<T, 1, true>)
                                   : (shape.packs ? gaussian<T, kPack<T>, false> : gaussian<T, 1, false>);
    return start(kernel, static_cast<unsigned>(shape.chunks), shape.block, stream, op, op.mean.rows / op.x.rows,
                 shape.rows_per_chunk, partials, scratch.ticket);
  });
  if (error != cudaSuccess || partials == nullptr) return error;
  return start(scale_gradient, grid_for(op.log_scale.cols, kWarp), kThreads, stream, op, shape.chunks * shape.block.y,
               static_cast<const float*>(partials));
}

}  // namespace cuvae::cuda
