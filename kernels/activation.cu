// What a product's epilogue does not do: bias with any activation, derivatives, and column sums. (cuBLASLt's GELU is
// the tanh approximation; the library's is exact.) Moved per element: bias and activation 4 bytes read, 4 written, 4
// more with the pre-activation; backward 8 read, 4 written; column sums 4 read.
#include "common.cuh"
#include "launch.h"
#include "math/formulas.h"

namespace cuvae::cuda {
namespace {

// Rows along x, several to a block when they are short.
template <Activation A, int N>
__global__ void __launch_bounds__(kThreads) bias_activation(const BiasActivation op) {
  for (Index r = static_cast<Index>(blockIdx.x) * blockDim.y + threadIdx.y; r < op.rows;
       r += static_cast<Index>(gridDim.x) * blockDim.y)
    for (Index c = static_cast<Index>(threadIdx.x) * N; c < op.cols; c += static_cast<Index>(blockDim.x) * N) {
      const Index i = r * op.cols + c;
      Pack<N> y = load<N>(op.y + i);
      const Pack<N> b = load<N>(op.b + c);
#pragma unroll
      for (int j = 0; j < N; ++j) y.v[j] += b.v[j];
      if (op.pre != nullptr) store(op.pre + i, y);
      for (float& v : y.v) v = math::activate<A>(v);
      store(op.y + i, y);
    }
}

// `source` is the pre-activation where the derivative needs it, else the result.
template <Activation A, int N>
__global__ void __launch_bounds__(kThreads) activation_backward(const ActivationBackward op, const float* source) {
  for_each_pack<N>(op.size, [&]<int M>(Index i) {
    Pack<M> dx = load<M>(op.dx + i);
    const Pack<M> at = load<M>(source + i);
#pragma unroll
    for (int j = 0; j < M; ++j) dx.v[j] *= math::activation_derivative<A>(at.v[j], at.v[j]);
    store(op.dx + i, dx);
  });
}

// Block (t, c) sums columns [t, t + 1) * 32 over rows [c, c + 1) * rows_per_chunk into row c of sums.
__global__ void __launch_bounds__(kThreads)
    column_sums(const float* __restrict__ x, Index rows, Index cols, Index rows_per_chunk, float* __restrict__ sums) {
  const Index begin = blockIdx.y * rows_per_chunk, end = begin + rows_per_chunk < rows ? begin + rows_per_chunk : rows;
  for (Index first = static_cast<Index>(blockIdx.x) * kWarp; first < cols;
       first += static_cast<Index>(gridDim.x) * kWarp) {
    const Index c = first + threadIdx.x % kWarp;
    const float sum = column_sum<float>(begin, end, [&](Index r) { return c < cols ? x[r * cols + c] : 0.0f; });
    if (threadIdx.x < kWarp && c < cols) sums[blockIdx.y * cols + c] = sum;
  }
}

Index sums_chunk(Index rows) { return chunk_rows(rows, 256, 64); }

}  // namespace

cudaError_t launch(const BiasActivation& op, cudaStream_t stream) {
  const bool packs = op.cols % 4 == 0 && aligned(op.y, op.pre, op.b);
  const RowBlocks shape(op.rows, op.cols / (packs ? 4 : 1));
  return dispatch(op.activation, [&]<Activation A>() {
    return start(packs ? bias_activation<A, 4> : bias_activation<A, 1>, shape.grid, shape.block, stream, op);
  });
}

cudaError_t launch(const ActivationBackward& op, cudaStream_t stream) {
  const float* source = needs_pre_activation(op.activation) ? op.pre : op.y;
  const bool packs = aligned(op.dx, source);
  return dispatch(op.activation, [&]<Activation A>() {
    return start(packs ? activation_backward<A, 4> : activation_backward<A, 1>,
                 grid_for(op.size, kThreads * (packs ? 4 : 1)), kThreads, stream, op, source);
  });
}

std::size_t scratch_bytes(const ColumnSums& op) {
  return static_cast<std::size_t>(ceil_div(op.rows, sums_chunk(op.rows)) * op.cols) * sizeof(float);
}

cudaError_t launch(const ColumnSums& op, Scratch scratch, cudaStream_t stream) {
  const Index rows = sums_chunk(op.rows), chunks = ceil_div(op.rows, rows);
  const unsigned tiles = grid_for(op.cols, kWarp);
  auto* partials = static_cast<float*>(scratch.partials);
  if (chunks == 1) return start(column_sums, tiles, kThreads, stream, op.x, op.rows, op.cols, rows, op.sums);
  const cudaError_t error = start(column_sums, dim3(tiles, static_cast<unsigned>(chunks)), kThreads, stream, op.x,
                                  op.rows, op.cols, rows, partials);
  if (error != cudaSuccess) return error;
  return start(column_sums, tiles, kThreads, stream, partials, chunks, op.cols, chunks, op.sums);
}

}  // namespace cuvae::cuda
