// Used by all kernels: the launch helper, 16-byte loads and stores of float32 and bf16, and reductions in fixed trees.
// The order of a sum depends only on the shape of the op, so that its bits are the same in every run.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "cuvae/types.h"

// An anonymous namespace because shared memory lives here: each kernel file has its own.
namespace cuvae::cuda {
namespace {

constexpr int kWarp = 32, kThreads = 256,
              kWarps = kThreads / kWarp;  // of a block, except where a kernel says otherwise
constexpr unsigned kFullWarp = 0xffffffffu;
constexpr Index kMaxBlocks = 65536;  // of a grid; a loop in the kernel does the rest

inline Index ceil_div(Index n, Index d) { return (n + d - 1) / d; }
inline unsigned grid_for(Index items, Index per_block) {
  return static_cast<unsigned>(std::min(ceil_div(items, per_block), kMaxBlocks));
}

/// Blocks of kThreads threads in rows along x, as many of a matrix's rows as fit. `items` is the work in a row.
struct RowBlocks {
  dim3 grid, block;
  RowBlocks(Index rows, Index items) {
    const Index along = std::min<Index>(ceil_div(items, kWarp) * kWarp, kThreads);
    block = dim3(static_cast<unsigned>(along), static_cast<unsigned>(kThreads / along));
    grid = dim3(grid_for(rows, block.y));
  }
};

template <class... P, class... A>
cudaError_t start(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream, A&&... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<A&&>(args)...);
}

/// A view's first value.
template <class T = float>
__host__ __device__ const T* data_of(const ConstView& v) {
  return static_cast<const T*>(v.data);
}
template <class T = float>
__host__ __device__ T* data_of(const View& v) {
  return static_cast<T*>(v.data);
}

using Bf16 = __nv_bfloat16;
/// Calls f<T>() for the type of a matrix that is float32 or bf16.
template <class F>
cudaError_t with_type(DType type, F f) {
  return type == DType::bf16 ? f.template operator()<Bf16>() : f.template operator()<float>();
}

/// N values: float32 in registers, float32 or bf16 in memory.
template <int N>
struct alignas(N < 4 ? 4 * N : 16) Pack {
  float v[N];
};
/// N values of T move as one access, of 16 bytes where N is kPack<T>.
template <class T>
constexpr int kPack = 16 / sizeof(T);

template <int N>
__device__ Pack<N> load(const float* p) {
  return *reinterpret_cast<const Pack<N>*>(p);
}
template <int N>
__device__ void store(float* p, const Pack<N>& pack) {
  *reinterpret_cast<Pack<N>*>(p) = pack;
}

/// 2 N bf16 as they lie in memory.
template <int N>
struct alignas(4 * N) Bf16Pairs {
  unsigned v[N];
};
template <int N>
__device__ Pack<N> load(const Bf16* p) {
  if constexpr (N == 1) {
    return {__bfloat162float(*p)};
  } else {
    const auto pairs = *reinterpret_cast<const Bf16Pairs<N / 2>*>(p);
    Pack<N> pack;
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      pack.v[2 * i] = __uint_as_float(pairs.v[i] << 16);  // a bf16 is the upper half of a float
      pack.v[2 * i + 1] = __uint_as_float(pairs.v[i] & 0xffff0000u);
    }
    return pack;
  }
}
/// Rounds to nearest, ties to even.
template <int N>
__device__ void store(Bf16* p, const Pack<N>& pack) {
  if constexpr (N == 1) {
    *p = __float2bfloat16_rn(pack.v[0]);
  } else {
    Bf16Pairs<N / 2> pairs;
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(pack.v[2 * i], pack.v[2 * i + 1]);
      pairs.v[i] = reinterpret_cast<const unsigned&>(pair);
    }
    *reinterpret_cast<Bf16Pairs<N / 2>*>(p) = pairs;
  }
}
/// Value i of a matrix that is float32 or bf16.
__device__ inline void store_as(const View& to, Index i, float value) {
  if (to.dtype == DType::bf16) {
    store(data_of<Bf16>(to) + i, Pack<1>{value});
  } else {
    store(data_of(to) + i, Pack<1>{value});
  }
}
/// Whether 16-byte accesses are allowed at these addresses; null is.
template <class... V>
bool aligned(const V&... v) {
  const auto address = []<class P>(const P& p) {
    if constexpr (std::is_pointer_v<P>) {
      return reinterpret_cast<std::uintptr_t>(p);
    } else {
      return reinterpret_cast<std::uintptr_t>(p.data);
    }
  };
  return ((address(v) % 16 == 0) && ...);
}
/// f<N>(i) over [0, size) by the whole grid: packs, then a tail of ones.
template <int N, class F>
__device__ void for_each_pack(Index size, F f) {
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  const Index packs = size / N;
  for (Index i = thread; i < packs; i += static_cast<Index>(gridDim.x) * blockDim.x) f.template operator()<N>(i * N);
  if (thread < size - packs * N) f.template operator()<1>(packs * N + thread);
}

/// The sum over a full warp, on every lane.
template <class T>
__device__ T warp_sum(T v) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(kFullWarp, v, offset);
  return v;
}

/// The sum over warps [first, first + warps) of the block, on their threads. All threads of the block must call it;
/// blockDim.x is a multiple of a warp.
template <class T>
__device__ T sum_over_warps(T v, unsigned first, unsigned warps) {
  __shared__ T warp_sums[1024 / kWarp];
  v = warp_sum(v);
  if (warps == 1) return v;
  __syncthreads();  // an earlier call's reads are done
  if (threadIdx.x % kWarp == 0) warp_sums[(threadIdx.y * blockDim.x + threadIdx.x) / kWarp] = v;
  __syncthreads();
  T sum = warp_sums[first];
  for (unsigned w = 1; w < warps; ++w) sum += warp_sums[first + w];
  return sum;
}
/// The sum over the threads of one threadIdx.y, on each of them; likewise.
template <class T>
__device__ T row_sum(T v) {
  const unsigned warps = blockDim.x / kWarp;
  return sum_over_warps(v, threadIdx.y * warps, warps);
}
/// The sum over the block, on every thread; likewise.
template <class T>
__device__ T block_sum(T v) {
  return sum_over_warps(v, 0, blockDim.x * blockDim.y / kWarp);
}

/// The sums of 32 columns over rows [begin, end), for a block of kThreads in one dimension: value(r) is the term of row
/// r in the calling lane's column, asked by a full warp at a time. The result is for the threads of warp 0.
template <class T, class Value>
__device__ T column_sum(Index begin, Index end, Value value) {
  __shared__ T warp_sums[kWarps][kWarp];
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  T sum{};
#pragma unroll 4
  for (Index r = begin + warp; r < end; r += kWarps) sum += value(r);
  __syncthreads();  // an earlier call's reads are done
  warp_sums[warp][lane] = sum;
  __syncthreads();
  if (warp == 0)
    for (int w = 1; w < kWarps; ++w) sum += warp_sums[w][lane];
  return sum;
}

/// True in the last of `blocks` blocks that come here, which then sees what the others wrote before (through __ldcg:
/// the first-level cache may be stale). No block waits.
template <class Ticket>
__device__ bool is_last_block(Ticket* ticket, unsigned blocks) {
  __shared__ bool last;
  __threadfence();  // the results of this thread,
  __syncthreads();  // then of the whole block, are visible before the ticket
  if (threadIdx.x == 0 && threadIdx.y == 0)
    last = atomicInc(ticket, blocks - 1) == blocks - 1;  // wraps to zero for the next launch
  __syncthreads();
  if (last) __threadfence();
  return last;
}

/// Rows of a reduction's chunk: at least `least`, and so many that there are at most `most` chunks.
inline Index chunk_rows(Index rows, Index least, Index most) { return std::max(least, ceil_div(rows, most)); }

}  // namespace
}  // namespace cuvae::cuda
