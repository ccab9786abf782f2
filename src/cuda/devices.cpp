#include "cuda/devices.h"

#include <cuda_runtime_api.h>

#include "cuda/error.h"
#include "cuvae/error.h"

namespace cuvae::cuda {
namespace {

int attribute(cudaDeviceAttr which, int ordinal) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, ordinal), "cudaDeviceGetAttribute");
  return value;
}

Device properties(int ordinal) {
  cudaDeviceProp p = {};
  check(cudaGetDeviceProperties(&p, ordinal), "cudaGetDeviceProperties");
  const bool memory_pools = attribute(cudaDevAttrMemoryPoolsSupported, ordinal) != 0;
  return {ordinal, p.name, p.totalGlobalMem, p.major, p.minor, memory_pools};
}

}  // namespace

std::vector<Device> devices() {
  int count = 0;
  std::vector<Device> all;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    (void)cudaGetLastError();  // no driver or no device is a valid answer
    return all;
  }
  for (int i = 0; i < count; ++i) all.push_back(properties(i));
  return all;
}

Device device(int ordinal) {
  int count = 0;
  check(cudaGetDeviceCount(&count), "cuda");
  if (count == 0) fail(cudaErrorNoDevice, "cuda");
  if (ordinal < 0 || ordinal >= count)
    throw Error("cuda: there is no device cuda:" + std::to_string(ordinal) +
                "; the last is cuda:" + std::to_string(count - 1));
  return properties(ordinal);
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string describe(const Device& d) {
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  return d.name + ", " + std::to_string(d.memory >> 30) + " GiB, compute capability " + std::to_string(d.major) + "." +
         std::to_string(d.minor) + ", driver for CUDA " + version_text(driver);
}

}  // namespace cuvae::cuda
