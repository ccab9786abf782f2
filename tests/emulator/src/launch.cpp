// Launches: the driver's checks, then the grid in the stream's order.
#include <map>
#include <utility>

#include "api.h"
#include "device_limits.h"
#include "kernel_side.h"

namespace cuemu {
namespace {

std::map<const void*, int> dynamic_limits;  // of kernels that requested more

bool fits(const cudaLaunchConfig_t& c) {
  const dim3 grid = c.gridDim, block = c.blockDim;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0) return false;
  return block.x <= kMaxThreads && block.y <= kMaxThreads && block.z <= 64 &&
         std::uint64_t{block.x} * block.y * block.z <= kMaxThreads && grid.x <= kMaxGridX && grid.y <= kMaxGridYZ &&
         grid.z <= kMaxGridYZ;
}

// Attributes that change only how fast a grid starts.
bool emulated(const cudaLaunchConfig_t& c) {
  for (unsigned i = 0; i < c.numAttrs; ++i)
    if (c.attrs[i].id != cudaLaunchAttributePriority && c.attrs[i].id != cudaLaunchAttributeIgnore) return false;
  return true;
}

}  // namespace

cudaError_t start_grid(const cudaLaunchConfig_t& config, const void* kernel, std::function<bool()> grid) {
  const ApiCall call("cudaLaunchKernelExC");
  if (call.error != cudaSuccess) return call.error;
  if (!emulated(config)) return fail_with(cudaErrorNotSupported);
  if (!fits(config)) return fail_with(cudaErrorInvalidConfiguration);
  const auto limit = dynamic_limits.find(kernel);
  const int most = limit == dynamic_limits.end() ? kSharedMemory : limit->second;
  if (config.dynamicSmemBytes > static_cast<std::size_t>(most)) return fail_with(cudaErrorInvalidValue);
  return submit(config.stream, {[grid = std::move(grid)] {
                  if (!grid()) lose_device(cudaErrorLaunchFailure);
                }});
}

}  // namespace cuemu

using namespace cuemu;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  CUEMU_API_CALL();
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > kSharedMemoryOptIn) return fail_with(cudaErrorInvalidValue);
  dynamic_limits[kernel] = value;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  CUEMU_API_CALL();
  *attributes = {};
  attributes->maxThreadsPerBlock = kMaxThreads;
  attributes->numRegs = 32;
  attributes->binaryVersion = attributes->ptxVersion = 10 * kComputeMajor + kComputeMinor;
  const auto limit = dynamic_limits.find(kernel);
  attributes->maxDynamicSharedSizeBytes = limit == dynamic_limits.end() ? kSharedMemory : limit->second;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int threads, size_t shared,
                                                                   unsigned) {
  CUEMU_API_CALL();
  if (threads <= 0) return fail_with(cudaErrorInvalidValue);
  const int by_threads = kThreadsPerProcessor / threads;
  const int by_shared = shared == 0 ? by_threads : static_cast<int>(kSharedMemoryPerProcessor / shared);
  *blocks = by_threads < by_shared ? by_threads : by_shared;
  return cudaSuccess;
}
}
