// Copies and fills. Both ends are checked against the allocations. When memory is read follows the driver's rules.
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "api.h"
#include "kernel_side.h"

namespace cuemu {
namespace {

bool ends_are_right(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return host_range(to, bytes) && host_range(from, bytes);
    case cudaMemcpyHostToDevice:
      return device_range(to, bytes) && host_range(from, bytes);
    case cudaMemcpyDeviceToHost:
      return host_range(to, bytes) && device_range(from, bytes);
    case cudaMemcpyDeviceToDevice:
      return device_range(to, bytes) && device_range(from, bytes);
    case cudaMemcpyDefault:
      return (device_range(to, bytes) || host_range(to, bytes)) &&
             (device_range(from, bytes) || host_range(from, bytes));
  }
  return false;
}

bool pageable(const void* p) { return !device_range(p, 1) && !pinned(p); }

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!ends_are_right(to, from, bytes, kind)) return fail_with(cudaErrorInvalidValue);
  Work work{[=] {
    std::memmove(to, from, bytes);
    memory_written(to, bytes);
  }};
  const bool captured = capturing(stream);
  if (!captured &&
      pageable(from)) {  // read before the call returns; pinned memory is read later, in the stream's order
    const auto* begin = static_cast<const char*>(from);
    auto staged = std::make_shared<const std::vector<char>>(begin, begin + bytes);
    work.run = [=] {
      std::memcpy(to, staged->data(), bytes);
      memory_written(to, bytes);
    };
  }
  const cudaError_t error = submit(stream, std::move(work));
  if (error != cudaSuccess || captured || !pageable(to)) return error;
  return finish(stream);  // written before the call returns
}

cudaError_t fill(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!device_range(p, bytes)) return fail_with(cudaErrorInvalidValue);
  return submit(stream, {[=] {
                  std::memset(p, value, bytes);
                  memory_written(p, bytes);
                }});
}

}  // namespace
}  // namespace cuemu

using namespace cuemu;

extern "C" {

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  CUEMU_API_CALL();
  return copy(to, from, bytes, kind, stream);
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  CUEMU_API_CALL();
  if (break_captures()) return fail_with(cudaErrorStreamCaptureImplicit);
  const cudaError_t error = copy(to, from, bytes, kind, cudaStreamLegacy);
  return error != cudaSuccess ? error : finish(cudaStreamLegacy);
}

cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  CUEMU_API_CALL();
  return fill(p, value, bytes, stream);
}

cudaError_t cudaMemset(void* p, int value, size_t bytes) {
  CUEMU_API_CALL();
  if (break_captures()) return fail_with(cudaErrorStreamCaptureImplicit);
  return fill(p, value, bytes, cudaStreamLegacy);
}
}
