// Parts of linear layers that no product's epilogue computes: bias with any activation, derivatives of activations, and
// column sums. (cuBLASLt's GELU is the tanh approximation; this library's is exact.)
// Moved per element: bias and activation read 4 bytes and write 4, with the pre-activation 8; the backward pass reads 8
// and writes 4; column sums read 4. As bf16 each number is half.
#include "common.cuh"
#include "launch.h"
#include "math/formulas.h"

namespace cuvae::cuda {
namespace {

// A row lies along x. A block takes several rows when they are short.
template <class T, Activation A, int N>
__global__ void __launch_bounds__(kThreads, 4) bias_activation(const BiasActivation op) {
  for (Index r = static_cast<Index>(blockIdx.x) * blockDim.y + threadIdx.y; r < op.y.rows;
       r += static_cast<Index>(gridDim.x) * blockDim.y)
    for (Index c = static_cast<Index>(threadIdx.x) * N; c < op.y.cols; c += static_cast<Index>(blockDim.x) * N) {
      const Index i = r * op.y.cols + c;
      T* out = data_of<T>(op.y) + i;
      Pack<N> y = load<N>(out);
      const Pack<N> b = load<N>(data_of<T>(op.b) + c);
#pragma unroll
      for (int j = 0; j < N; ++j) y.v[j] += b.v[j];
      if (op.pre.data != nullptr) store(data_of<T>(op.pre) + i, y);
      for (float& v : y.v) v = math::activate<A>(v);
      store(out, y);
    }
}

// `source` is the pre-activation where the derivative needs it, else the result.
template <class T, Activation A, int N>
__global__ void __launch_bounds__(kThreads) activation_backward(const ActivationBackward op, const T* source) {
  for_each_pack<N>(op.dx.rows * op.dx.cols, [&]<int M>(Index i) {
    T* out = data_of<T>(op.dx) + i;
    Pack<M> dx = load<M>(out);
    const Pack<M> at = load<M>(source + i);
#pragma unroll
    for (int j = 0; j < M; ++j) dx.v[j] *= math::activation_derivative<A>(at.v[j], at.v[j]);
    store(out, dx);
  });
}

// Block (t, c) sums columns [t, t + 1) * 32 over rows [c, c + 1) * rows_per_chunk into row c of sums.
template <class T>
__global__ void __launch_bounds__(kThreads) column_sums(const T* __restrict__ x, Index rows, Index cols,
                                                        Index rows_per_chunk, bool add, float* __restrict__ sums) {
  const Index begin = blockIdx.y * rows_per_chunk, end = begin + rows_per_chunk < rows ? begin + rows_per_chunk : rows;
  for (Index first = static_cast<Index>(blockIdx.x) * kWarp; first < cols;
       first += static_cast<Index>(gridDim.x) * kWarp) {
    const Index c = first + threadIdx.x % kWarp;
    const float sum =
        column_sum<float>(begin, end, [&](Index r) { return c < cols ? load<1>(x + r * cols + c).v[0] : 0.0f; });
    if (threadIdx.x >= kWarp || c >= cols) continue;
    float* const to = sums + blockIdx.y * cols + c;
    *to = add ? *to + sum : sum;
  }
}

Index sums_chunk(Index rows) { return chunk_rows(rows, 256, 64); }

}  // namespace

cudaError_t launch(const BiasActivation& op, cudaStream_t stream) {
  return with_type(op.y.dtype, [&]<class T>() {
    constexpr int N = kPack<T>;
    const bool packs = op.y.cols % N == 0 && aligned(op.y, op.pre, op.b);
    const RowBlocks shape(op.y.rows, op.y.cols / (packs ? N : 1));
    return math::with_activation(op.activation, [&]<Activation A>() {
      return start(packs ? bias_activation<T, A, N> : bias_activation<T, A, 1>, shape.grid, shape.block, stream, op);
    });
  });
}

cudaError_t launch(const ActivationBackward& op, cudaStream_t stream) {
  const ConstView source = needs_pre_activation(op.activation) ? op.pre : op.y;
  return with_type(op.dx.dtype, [&]<class T>() {
    constexpr int N = kPack<T>;
    const bool packs = aligned(op.dx, source);
    return math::with_activation(op.activation, [&]<Activation A>() {
      if constexpr (A == Activation::identity)
        return cudaSuccess;  // dx stays
      else
        return start(packs ? activation_backward<T, A, N> : activation_backward<T, A, 1>,
                     grid_for(op.dx.size(), kThreads * (packs ? N : 1)), kThreads, stream, op, data_of<T>(source));
    });
  });
}

std::size_t scratch_bytes(const ColumnSums& op) {
  return static_cast<std::size_t>(ceil_div(op.x.rows, sums_chunk(op.x.rows)) * op.x.cols) * sizeof(float);
}

cudaError_t launch(const ColumnSums& op, Scratch scratch, cudaStream_t stream) {
  const Index rows = sums_chunk(op.x.rows), chunks = ceil_div(op.x.rows, rows), cols = op.x.cols;
  const unsigned tiles = grid_for(cols, kWarp);
  const bool add = op.gradients == Gradients::add;
  float* sums = data_of(op.sums);
  auto* partials = static_cast<float*>(scratch.partials);
  const cudaError_t error = with_type(op.x.dtype, [&]<class T>() {
    return start(column_sums<T>, dim3(tiles, static_cast<unsigned>(chunks)), kThreads, stream, data_of<T>(op.x),
                 op.x.rows, cols, rows, add && chunks == 1, chunks == 1 ? sums : partials);
  });
  if (error != cudaSuccess || chunks == 1) return error;
  return start(column_sums<float>, tiles, kThreads, stream, static_cast<const float*>(partials), chunks, cols, chunks,
               add, sums);
}

}  // namespace cuvae::cuda
