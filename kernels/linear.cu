// linear_backward of a small layer in one launch. A block computes one tile of 16 x 16 elements of dw or of dx. db is
// the last column of dw: x is read as if a column of ones followed it.
// The time of such a layer is latency. Therefore tiles are small, so that there are many, and deep: a block loads 128
// terms of the inner dimension at once, and the next 128 while it sums these. A quarter of the threads takes every
// fourth term, and each thread two by two elements. The quarters are added in a fixed order, so that the bits of a tile
// do not depend on the other tiles.
// Moved per tile and 128 terms: 16 KB, as bf16 8, mostly from the second-level cache. Per element: 4 bytes written (2
// of a bf16 dx); for dx as many of x, or of the pre-activation, read.
#include "common.cuh"
#include "launch.h"
#include "math/formulas.h"

namespace cuvae::cuda {
namespace {

constexpr int kTile = 16, kDepth = 128;
constexpr int kGroups = 4;  // of threads, which share the terms of a sum
static_assert(kTile * kTile == kThreads && kThreads / kGroups * 4 == kTile * kTile);
// Rows of 20 floats keep 16-byte stores aligned, and transposed stores have no bank conflicts.
using Panel = float[kDepth][kTile + 4];

__host__ __device__ inline unsigned tiles(Index n) { return static_cast<unsigned>((n + kTile - 1) / kTile); }

/// A row-major matrix a, of which a block takes a stripe: panel[k][j] = a(first_k + k, first + j), or a(first + j,
/// first_k + k) when transposed. The column after the last one reads as `beyond`, everything else outside as zeros. A
/// thread moves kPacks packs of N neighbours.
template <class T, int N>
struct Operand {
  static constexpr int kPacks = kDepth * kTile / N / kThreads;
  const T* data;
  Index rows, cols, first;
  bool transposed;
  float beyond;

  __device__ int k_of(int n) const {
    const int i = n * kThreads + static_cast<int>(threadIdx.x);
    return transposed ? i / kTile * N : i / (kTile / N);
  }
  __device__ int j_of(int n) const {
    const int i = n * kThreads + static_cast<int>(threadIdx.x);
    return transposed ? i % kTile : i % (kTile / N) * N;
  }
  __device__ void read(Index first_k, Pack<N> (&packs)[kPacks]) const {
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      const Index k = first_k + k_of(n), j = first + j_of(n), r = transposed ? j : k, c = transposed ? k : j;
      packs[n] = r < rows && c < cols ? load<N>(data + r * cols + c) : Pack<N>{};
      if (c == cols) packs[n].v[0] = beyond;
    }
  }
  __device__ void put(const Pack<N> (&packs)[kPacks], Panel& panel) const {
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      const int k = k_of(n), j = j_of(n);
      if (transposed) {
#pragma unroll
        for (int m = 0; m < N; ++m) panel[k + m][j] = packs[n].v[m];
      } else {
        store(&panel[k][j], packs[n]);
      }
    }
  }
};

/// Element (threadIdx.x / kTile, threadIdx.x % kTile) of the block's tile of the product over all k, right's rows.
template <class T, int N>
__device__ float product(const Operand<T, N>& left, const Operand<T, N>& right) {
  alignas(16) __shared__ Panel a, b;
  __shared__ float partials[kGroups][kTile][kTile];
  constexpr int kGroup = kThreads / kGroups, kHalf = kTile / 2;
  const int group = threadIdx.x / kGroup, row = threadIdx.x % kGroup / kHalf * 2, col = threadIdx.x % kHalf * 2;
  float sums[2][2] = {};
  Pack<N> next_a[Operand<T, N>::kPacks], next_b[Operand<T, N>::kPacks];
  left.read(0, next_a);
  right.read(0, next_b);
  for (Index first = 0; first < right.rows; first += kDepth) {
    __syncthreads();  // all threads have used the previous panels
    left.put(next_a, a);
    right.put(next_b, b);
    __syncthreads();                    // these panels are complete
    if (first + kDepth < right.rows) {  // load the next panels while these are summed
      left.read(first + kDepth, next_a);
      right.read(first + kDepth, next_b);
    }
    const int depth = right.rows - first < kDepth ? static_cast<int>(right.rows - first) : kDepth;
#pragma unroll 8
    for (int k = group; k < depth; k += kGroups) {
      const Pack<2> u = load<2>(&a[k][row]), v = load<2>(&b[k][col]);
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[i / 2][i % 2] += u.v[i / 2] * v.v[i % 2];
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) partials[group][row + i / 2][col + i % 2] = sums[i / 2][i % 2];
  __syncthreads();
  float sum = 0.0f;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) sum += partials[g][threadIdx.x / kTile][threadIdx.x % kTile];
  return sum;
}

// The first blocks compute the tiles of dw and db, if given, the others the tiles of dx. The derivative reads `source`:
// the pre-activation of the layer below, or its result x.
template <Activation A, class T, int N>
__global__ void __launch_bounds__(kThreads) linear_backward(const LinearBackward op, const T* source) {
  const Index B = op.x.rows, I = op.x.cols, O = op.w.rows, J = op.dx.cols;
  const unsigned dw_tiles = op.dw.data == nullptr ? 0 : tiles(O) * tiles(I + 1);
  const bool of_dw = blockIdx.x < dw_tiles;
  const unsigned tile = of_dw ? blockIdx.x : blockIdx.x - dw_tiles, across = tiles(of_dw ? I + 1 : J);
  const Index first_row = static_cast<Index>(tile / across) * kTile,
              first_col = static_cast<Index>(tile % across) * kTile;
  const Operand<T, N> left{data_of<T>(op.dy), B, O, first_row, !of_dw, 0.0f};
  const Operand<T, N> right{data_of<T>(of_dw ? op.x : op.w), of_dw ? B : O, I, first_col, false, of_dw ? 1.0f : 0.0f};
  const float sum = product(left, right);

  const Index row = first_row + threadIdx.x / kTile, i = first_col + threadIdx.x % kTile;
  if (of_dw) {
    if (row >= O || i > I) return;
    float* const to = i < I ? data_of(op.dw) + row * I + i : data_of(op.db) + row;
    *to = op.gradients == Gradients::add ? *to + sum : sum;
  } else if (row < B && i < J) {
    const float at = A == Activation::identity ? 0.0f : load<1>(source + row * J + i).v[0];
    const float dx = sum * math::activation_derivative<A>(at, at);
    if (op.dx.dtype == DType::bf16) {
      store(data_of<Bf16>(op.dx) + row * J + i, Pack<1>{dx});
    } else {
      float* const to = data_of(op.dx) + row * J + i;
      *to = op.dx_gradients == Gradients::add ? *to + dx : dx;
    }
  }
}

}  // namespace

cudaError_t launch(const LinearBackward& op, cudaStream_t stream) {
  const Index batch = op.x.rows, inputs = op.x.cols, outputs = op.w.rows;
  const bool packs = inputs % 4 == 0 && outputs % 4 == 0 && aligned(op.x, op.w, op.dy);
  const ConstView source = needs_pre_activation(op.below) ? op.below_pre : op.x;
  const unsigned dw_tiles = op.dw ? tiles(outputs) * tiles(inputs + 1) : 0,
                 dx_tiles = op.dx ? tiles(batch) * tiles(op.dx.cols) : 0;
  return with_type(op.x.dtype, [&]<class T>() {
    return math::with_activation(op.below, [&]<Activation A>() {
      return start(packs ? linear_backward<A, T, 4> : linear_backward<A, T, 1>, dw_tiles + dx_tiles, kThreads, stream,
                   op, data_of<T>(source));
    });
  });
}

}  // namespace cuvae::cuda
