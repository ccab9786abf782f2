#include "planted.h"

#include <cuda_runtime.h>

#include <vector>

namespace planted {
namespace {

constexpr int kThreads = 128;

__device__ void* dynamic_shared() {
#if defined(CUEMU)
  return cuemu::dynamic_shared();
#else
  extern __shared__ __align__(16) unsigned char raw[];
  return raw;
#endif
}

template <bool kMistake>
__global__ void missing_barrier_kernel(float* p) {
  __shared__ float s[kThreads];
  s[threadIdx.x] = p[threadIdx.x];
  if (!kMistake) __syncthreads();
  p[threadIdx.x] = s[threadIdx.x != 0 ? threadIdx.x - 1 : 0];
}

template <bool kMistake>
__global__ void lockstep_kernel(float* p) {
  __shared__ float s[kThreads];
  s[threadIdx.x] = p[threadIdx.x];
  if (!kMistake) __syncwarp();
  p[threadIdx.x] = s[threadIdx.x % 32 != 0 ? threadIdx.x - 1 : threadIdx.x];
}

template <bool kMistake>
__global__ void tile_loop_kernel(float* p) {
  __shared__ float s[kThreads];
  const float x = p[threadIdx.x];
  float sum = 0;
  for (int k = 1; k <= 4; ++k) {
    s[threadIdx.x] = x * static_cast<float>(k);
    __syncthreads();
    sum += s[kThreads - 1 - threadIdx.x];
    if (!kMistake) __syncthreads();
  }
  p[threadIdx.x] = sum;
}

template <bool kMistake>
__global__ void divergent_barrier_kernel(float* p) {
  p[threadIdx.x] = 7;
  if (kMistake && threadIdx.x < 64)
    __syncthreads();
  else
    __syncthreads();
}

template <bool kMistake>
__global__ void partial_barrier_kernel(float* p) {
  if (!kMistake || threadIdx.x < 64)
    __syncthreads();
  else
    p[threadIdx.x] = __shfl_xor_sync(0xffffffffu, p[threadIdx.x], 1);
  __syncthreads();
  p[threadIdx.x] = 7;
}

template <bool kMistake>
__global__ void half_warp_kernel(float* p) {
  if (threadIdx.x % 32 < 16) p[threadIdx.x] = __shfl_xor_sync(kMistake ? 0xffffffffu : 0xffffu, 7.0f, 1);
  __syncwarp();
  if (threadIdx.x % 32 >= 16) p[threadIdx.x] = 7;
}

template <bool kMistake>
__global__ void wrong_mask_kernel(float* p) {
  p[threadIdx.x] = __shfl_xor_sync(kMistake ? 0xffffu : 0xffffffffu, 7.0f, 1);
}

template <bool kMistake>
__global__ void two_shuffles_kernel(float* p) {
  if (kMistake && threadIdx.x % 2 == 0)
    p[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 7.0f, 1);
  else
    p[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 7.0f, 1);
}

__global__ void early_exit_kernel(float* p) {
  p[threadIdx.x] = 7;
  if (threadIdx.x >= 70) return;
  __syncthreads();
}

template <bool kMistake>
__global__ void uninitialised_kernel(float* p) {
  __shared__ float s[kThreads];
  if (!kMistake || threadIdx.x < 100) s[threadIdx.x] = 7;
  __syncthreads();
  p[threadIdx.x] = s[threadIdx.x] + 0 * s[kThreads - 1 - threadIdx.x];
}

template <bool kMistake, int N>
__global__ void uninitialised_template_kernel(float* p) {
  __shared__ float s[N];
  if (!kMistake || threadIdx.x < 100) s[threadIdx.x] = 7;
  __syncthreads();
  p[threadIdx.x] = s[threadIdx.x] + 0 * s[N - 1 - threadIdx.x];
}

__global__ void static_overflow_kernel(float* p, unsigned shift) {
  __shared__ float s[kThreads];
  s[threadIdx.x + shift] = 7;
  __syncthreads();
  p[threadIdx.x] = s[threadIdx.x + shift];
}

__global__ void dynamic_kernel(float* p, unsigned shift) {
  auto* s = static_cast<float*>(dynamic_shared());
  s[threadIdx.x + shift] = 7;
  __syncthreads();
  p[threadIdx.x] = s[threadIdx.x + shift];
}

__global__ void global_overflow_kernel(float* p, unsigned shift) { p[threadIdx.x + shift] = 7; }

__global__ void misaligned_kernel(float* p, unsigned shift) {
  if (threadIdx.x < 31) *reinterpret_cast<float4*>(p + 4 * threadIdx.x + shift) = make_float4(7, 7, 7, 7);
  if (threadIdx.x < 4) p[kThreads - 4 + threadIdx.x] = 7;
}

__global__ void add_one_kernel(float* p, bool atomic) {
  if (atomic)
    atomicAdd(p, 1.0f);
  else
    *p += 1;
}

// So many threads and barriers that ThreadSanitizer, without the help of the emulator, would lose track of their order.
template <bool kMistake>
__global__ void wide_race_kernel(float* p) {
  __shared__ float s[512];
  s[threadIdx.x] = 1;
  __syncthreads();
  const float other = s[511 - threadIdx.x];
  __syncthreads();
  s[threadIdx.x] = 6 + other;
  if (!kMistake) __syncthreads();
  if (threadIdx.x < kThreads) p[threadIdx.x] = s[511 - threadIdx.x];
}

__global__ void add_kernel(float* p, float amount) { *p += amount; }

template <bool kMistake>
__global__ void last_block_kernel(float* p, float* partial, unsigned* tickets) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = 1;
    if (!kMistake) __threadfence();
    last = atomicInc(tickets, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  if (!kMistake) __threadfence();
  float sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += partial[b];
  p[threadIdx.x] = sum;
}

/// The launch of a kernel, by default with one block of kThreads.
struct Shape {
  unsigned blocks = 1, threads = kThreads;
  std::size_t shared = 0;
};

template <class... P, class... A>
cudaError_t start(Shape shape, void (*kernel)(P...), A... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, args...);
  return error != cudaSuccess ? error : cudaDeviceSynchronize();
}

/// kThreads floats on the device. Their initial values are value(i); at the end they are compared with want(i).
class Array {
 public:
  template <class F>
  explicit Array(F value) : host_(kThreads) {
    for (int i = 0; i < kThreads; ++i) host_[static_cast<std::size_t>(i)] = value(i);
    cudaMalloc(&device_, bytes());
    cudaMemcpy(device_, host_.data(), bytes(), cudaMemcpyHostToDevice);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(device_); }

  float* device() const { return device_; }
  template <class F>
  Outcome outcome(cudaError_t error, F want) {
    if (error == cudaSuccess) error = cudaMemcpy(host_.data(), device_, bytes(), cudaMemcpyDeviceToHost);
    if (error != cudaSuccess) return Outcome::error;
    for (int i = 0; i < kThreads; ++i)
      if (!(host_[static_cast<std::size_t>(i)] == static_cast<float>(want(i)))) return Outcome::wrong;
    return Outcome::right;
  }

 private:
  std::size_t bytes() const { return host_.size() * sizeof(float); }
  std::vector<float> host_;
  float* device_ = nullptr;
};

float zero(int) { return 0; }
int seven(int) { return 7; }
bool is_mistake(Variant v) { return v == Variant::mistaken; }

// Each run has different numbers, because with GCC shared memory still holds the numbers of the last run.
float new_base() {
  static int runs = 0;
  return static_cast<float>(1000 * ++runs);
}

/// Runs the kernel of the variant on base + i. The result must be want(i).
template <class Kernel, class F>
Outcome run(Variant variant, Kernel* correct, Kernel* mistaken, float base, F want, Shape shape = {}) {
  Array a([base](int i) { return base + static_cast<float>(i); });
  return a.outcome(start(shape, is_mistake(variant) ? mistaken : correct, a.device()), want);
}
#define PLANTED_RUN(name, base, want) run(variant, name##_kernel<false>, name##_kernel<true>, base, want)

/// Kernels that write sevens; the mistaken variant writes one element too far.
template <class Kernel>
Outcome run_shifted(Variant variant, Kernel* kernel, Shape shape = {}) {
  Array a(zero);
  return a.outcome(start(shape, kernel, a.device(), is_mistake(variant) ? 1u : 0u), seven);
}

}  // namespace

Outcome missing_barrier(Variant variant) {
  const float base = new_base();
  return PLANTED_RUN(missing_barrier, base, ([=](int i) { return base + static_cast<float>(i != 0 ? i - 1 : 0); }));
}
Outcome lockstep(Variant variant) {
  const float base = new_base();
  return PLANTED_RUN(lockstep, base, ([=](int i) { return base + static_cast<float>(i % 32 != 0 ? i - 1 : i); }));
}
Outcome tile_loop(Variant variant) {
  const float base = new_base();
  return PLANTED_RUN(tile_loop, base, ([=](int i) { return 10 * (base + static_cast<float>(kThreads - 1 - i)); }));
}
Outcome divergent_barrier(Variant variant) { return PLANTED_RUN(divergent_barrier, 0, seven); }
Outcome partial_barrier(Variant variant) { return PLANTED_RUN(partial_barrier, 0, seven); }
Outcome half_warp(Variant variant) { return PLANTED_RUN(half_warp, 0, seven); }
Outcome wrong_mask(Variant variant) { return PLANTED_RUN(wrong_mask, 0, seven); }
Outcome two_shuffles(Variant variant) { return PLANTED_RUN(two_shuffles, 0, seven); }
Outcome early_exit() { return run(Variant::correct, early_exit_kernel, early_exit_kernel, 0, seven); }
Outcome uninitialised(Variant variant) { return PLANTED_RUN(uninitialised, 0, seven); }
Outcome uninitialised_template(Variant variant) {
  return run(variant, uninitialised_template_kernel<false, kThreads>, uninitialised_template_kernel<true, kThreads>, 0,
             seven);
}

Outcome static_overflow(Variant variant) { return run_shifted(variant, static_overflow_kernel); }
Outcome dynamic_overflow(Variant variant) {
  return run_shifted(variant, dynamic_kernel, {.shared = kThreads * sizeof(float)});
}
Outcome global_overflow(Variant variant) { return run_shifted(variant, global_overflow_kernel); }
Outcome misaligned(Variant variant) { return run_shifted(variant, misaligned_kernel); }

Outcome dynamic_too_large(Variant variant) {
  constexpr int kBytes = 50 * 1024;
  cudaFuncSetAttribute(dynamic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       is_mistake(variant) ? 48 * 1024 : kBytes);
  return run_shifted(Variant::correct, dynamic_kernel, {.shared = kBytes});
}

Outcome lost_update(Variant variant) {
  Array a(zero);
  return a.outcome(start({}, add_one_kernel, a.device(), !is_mistake(variant)),
                   [](int i) { return i == 0 ? kThreads : 0; });
}
Outcome wide_race(Variant variant) {
  return run(variant, wide_race_kernel<false>, wide_race_kernel<true>, 0, seven, {.threads = 512});
}
Outcome block_race(Variant variant) {
  Array a(zero);
  return a.outcome(start({.blocks = 8, .threads = 1}, add_one_kernel, a.device(), !is_mistake(variant)),
                   [](int i) { return i == 0 ? 8 : 0; });
}
Outcome last_block(Variant variant) {
  Array a(zero), partial(zero), tickets(zero);
  return a.outcome(start({.blocks = 8}, is_mistake(variant) ? last_block_kernel<true> : last_block_kernel<false>,
                         a.device(), partial.device(), reinterpret_cast<unsigned*>(tickets.device())),
                   [](int) { return 8; });
}

cudaError_t add(float* p, float amount, cudaStream_t stream) {
  cudaLaunchConfig_t config = {};
  config.gridDim = config.blockDim = dim3(1);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, add_kernel, p, amount);
}

}  // namespace planted
