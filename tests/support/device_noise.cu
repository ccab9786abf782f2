#include "device_noise.h"

#include "noise.cuh"

namespace cuvae::test {
namespace {

__global__ void write_noise(Noise noise, std::uint32_t step, std::uint64_t first, Index groups, uint4* words,
                            float4* normals) {
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= groups) return;
  words[i] = cuda::draw(noise, step, first + static_cast<std::uint64_t>(i));
  const cuda::Pack<4> n = cuda::normals(noise, step, first + static_cast<std::uint64_t>(i));
  normals[i] = make_float4(n.v[0], n.v[1], n.v[2], n.v[3]);
}

}  // namespace

cudaError_t device_noise(const Noise& noise, std::uint32_t step, std::uint64_t first_group, Index groups,
                         std::uint32_t* words, float* normals) {
  const cudaError_t error =
      cuda::start(write_noise, cuda::grid_for(groups, cuda::kThreads), cuda::kThreads, nullptr, noise, step,
                  first_group, groups, reinterpret_cast<uint4*>(words), reinterpret_cast<float4*>(normals));
  return error != cudaSuccess ? error : cudaDeviceSynchronize();
}

}  // namespace cuvae::test
