#include "planted.h"

#include <cuda_runtime.h>

#include <vector>

namespace planted {
namespace {

constexpr int kWarp = 32;

__global__ void read_global(const float* a, float* o, int skip) { o[threadIdx.x] = a[threadIdx.x + skip]; }
__global__ void write_global(float* o, int skip) { o[threadIdx.x + skip] = 1.0f; }
__global__ void vector_access(const float* a, float* o, int skip) {
  *reinterpret_cast<float4*>(o) = *reinterpret_cast<const float4*>(a + skip);
}
__global__ void fill_shared(float* o, int filled) {
  __shared__ float s[kWarp];
  if (static_cast<int>(threadIdx.x) < filled) s[threadIdx.x] = 1.0f;
  __syncthreads();
  o[threadIdx.x] = s[threadIdx.x];
}
__global__ void write_shared(float* o, int skip) {
  __shared__ float s[kWarp];
  s[(threadIdx.x ^ 1) + skip] = 1.0f;
  __syncthreads();
  o[threadIdx.x] = s[threadIdx.x | skip];
}
__global__ void reverse(float* o, bool barrier) {
  __shared__ float s[2 * kWarp];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (barrier) __syncthreads();
  o[threadIdx.x] = s[2 * kWarp - 1 - threadIdx.x];
}
__global__ void two_barriers(float* o, unsigned first) {
  if (threadIdx.x < first) {
    __syncthreads();
    o[threadIdx.x] = 1.0f;
  } else {
    o[32 + threadIdx.x] = 2.0f;
    __syncthreads();
    o[64 + threadIdx.x] = 3.0f;
  }
}
__global__ void sum_neighbours(float* o, unsigned lanes) {
  float v = static_cast<float>(threadIdx.x);
  if (threadIdx.x < lanes) v += __shfl_xor_sync(0xffffffffu, v, 1);
  o[threadIdx.x] = v;
}
// The last of several blocks sums the results of all blocks.
__global__ void last_block(float* o, unsigned* ticket, bool fence, bool past_the_cache) {
  __shared__ bool last;
  o[blockIdx.x * kWarp + threadIdx.x] = 1.0f;
  if (fence) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
  __syncthreads();
  if (!last) return;
  if (fence) __threadfence();
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < kWarp * gridDim.x; i += kWarp) sum += past_the_cache ? __ldcg(o + i) : o[i];
  o[kWarp * gridDim.x + threadIdx.x] = sum;
}
__global__ void write_by_blocks(float* o, unsigned apart) {
  o[blockIdx.x * apart + threadIdx.x] = static_cast<float>(blockIdx.x);
}

template <class... P, class... A>
bool start(void (*kernel)(P...), unsigned grid, unsigned block, A... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(grid);
  config.blockDim = dim3(block);
  return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...) == cudaSuccess &&
         cudaDeviceSynchronize() == cudaSuccess;
}

}  // namespace

bool run(const std::string& name, bool mistaken) {
  float *a = nullptr, *o = nullptr;
  unsigned* ticket = nullptr;
  cudaMalloc(&a, 64 * sizeof(float));
  cudaMalloc(&o, 256 * sizeof(float));
  cudaMalloc(&ticket, sizeof(unsigned));
  cudaMemset(ticket, 0, sizeof(unsigned));
  cudaMemset(o, 0, 256 * sizeof(float));
  if (name != "uninitialised global" || !mistaken) cudaMemset(a, 0, 64 * sizeof(float));
  const int one = mistaken ? 1 : 0;
  bool ran = false;
  if (name == "read past the end") ran = start(read_global, 1, 32, a, o, 32 + one);
  if (name == "write past the end") ran = start(write_global, 1, 32, o, 256 - 32 + one);
  if (name == "misaligned") ran = start(vector_access, 1, 1, a, o, one);
  if (name == "uninitialised shared") ran = start(fill_shared, 1, 32, o, 32 - one);
  if (name == "uninitialised global") ran = start(read_global, 1, 32, a, o, 0);
  if (name == "past a shared array") ran = start(write_shared, 1, 32, o, one);
  if (name == "missing barrier") ran = start(reverse, 1, 64, o, !mistaken);
  if (name == "divergent barrier") ran = start(two_barriers, 1, 32, o, mistaken ? 7 : 32);
  if (name == "partial shuffle") ran = start(sum_neighbours, 1, 32, o, mistaken ? 20 : 32);
  if (name == "no fence") ran = start(last_block, 4, 32, o, ticket, !mistaken, true);
  if (name == "stale cache") ran = start(last_block, 4, 32, o, ticket, true, !mistaken);
  if (name == "blocks write the same") ran = start(write_by_blocks, 2, 32, o, mistaken ? 0 : 32);
  cudaFree(a);
  cudaFree(o);
  cudaFree(ticket);
  return ran;
}

}  // namespace planted
