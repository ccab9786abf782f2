// Memory: every allocation is listed by its address, filled with NaNs, and counted against the device's size.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

#include "api.h"
#include "cuemu/control.h"
#include "kernel_side.h"
#include "settings.h"

namespace cuemu {
namespace {

constexpr int kPoison = 0xff;

struct Allocation {
  std::size_t bytes;
  bool on_device;
};
std::map<std::uintptr_t, Allocation> allocations;
std::size_t in_use = 0;

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

// The allocation that contains an address, or null.
const std::pair<const std::uintptr_t, Allocation>* find(const void* p) {
  const auto after = allocations.upper_bound(address(p));
  if (after == allocations.begin()) return nullptr;
  const auto& candidate = *std::prev(after);
  return address(p) - candidate.first < candidate.second.bytes ? &candidate : nullptr;
}

cudaError_t allocate(void** p, std::size_t bytes, bool on_device) {
  if (p == nullptr) return fail_with(cudaErrorInvalidValue);
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  const auto fits = [&] { return !on_device || (bytes <= settings().memory && in_use <= settings().memory - bytes); };
  if (!fits()) finish_all();  // completes frees that wait in a stream
  if (!fits() || posix_memalign(p, 256, bytes) != 0) return fail_with(cudaErrorMemoryAllocation);
  std::memset(*p, kPoison, bytes);
  allocations[address(*p)] = {bytes, on_device};
  if (on_device) {
    in_use += bytes;
    memory_begins(*p, bytes);
  }
  return cudaSuccess;
}

bool is_allocation(const void* p, bool on_device) {
  const auto found = allocations.find(address(p));
  return found != allocations.end() && found->second.on_device == on_device;
}

void release(void* p) {
  const auto found = allocations.find(address(p));
  if (found == allocations.end()) return;
  if (found->second.on_device) {
    in_use -= found->second.bytes;
    memory_ends(p);
  }
  std::memset(p, kPoison, found->second.bytes);  // so that a read of freed memory is found
  allocations.erase(found);
  std::free(p);
}

cudaError_t free_now(const ApiCall& call, void* p, bool on_device) {
  if (p == nullptr) return call.error;
  finish_all();
  if (!is_allocation(p, on_device)) return fail_with(cudaErrorInvalidValue);
  release(p);
  return lost() != cudaSuccess ? fail_with(lost()) : call.error;
}

}  // namespace

bool device_range(const void* p, std::size_t bytes) {
  const auto* found = find(p);
  return found != nullptr && found->second.on_device && bytes <= found->first + found->second.bytes - address(p);
}

bool host_range(const void* p, std::size_t bytes) {
  const auto* found = find(p);
  if (found == nullptr) return p != nullptr;
  return !found->second.on_device && bytes <= found->first + found->second.bytes - address(p);
}

bool pinned(const void* p) {
  const auto* found = find(p);
  return found != nullptr && !found->second.on_device;
}

std::size_t memory_in_use() { return in_use; }

}  // namespace cuemu

using namespace cuemu;

extern "C" {

cudaError_t cudaMalloc(void** p, size_t bytes) {
  CUEMU_API_CALL();
  if (break_captures()) return fail_with(cudaErrorStreamCaptureUnsupported);
  return allocate(p, bytes, true);
}

cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t stream) {
  CUEMU_API_CALL();
  if (capturing(stream)) return fail_with(cudaErrorNotSupported);  // memory nodes are not emulated
  return allocate(p, bytes, true);
}

cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  CUEMU_API_CALL();
  if (break_captures()) return fail_with(cudaErrorStreamCaptureUnsupported);
  return allocate(p, bytes, false);
}

cudaError_t cudaMallocHost(void** p, size_t bytes) { return cudaHostAlloc(p, bytes, cudaHostAllocDefault); }

// Memory is freed even on a lost device, so that leak checkers find only leaks of the program.
cudaError_t cudaFree(void* p) {
  const ApiCall call(__func__);
  if (break_captures()) return fail_with(cudaErrorStreamCaptureUnsupported);
  return free_now(call, p, true);
}

cudaError_t cudaFreeHost(void* p) {
  const ApiCall call(__func__);
  if (break_captures()) return fail_with(cudaErrorStreamCaptureUnsupported);
  return free_now(call, p, false);
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  const ApiCall call(__func__);
  if (p == nullptr) return call.error;
  if (!is_allocation(p, true)) return fail_with(cudaErrorInvalidValue);
  if (capturing(stream)) return fail_with(cudaErrorNotSupported);
  const cudaError_t error = submit(stream, {[p] { release(p); }, true});
  return error != cudaSuccess ? error : call.error;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  CUEMU_API_CALL();
  *total = settings().memory;
  *free = *total - (in_use < *total ? in_use : *total);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  CUEMU_API_CALL();
  const auto* found = find(p);
  *attributes = {};
  attributes->type = found == nullptr          ? cudaMemoryTypeUnregistered
                     : found->second.on_device ? cudaMemoryTypeDevice
                                               : cudaMemoryTypeHost;
  if (found == nullptr) return cudaSuccess;
  attributes->devicePointer = const_cast<void*>(p);
  if (!found->second.on_device) attributes->hostPointer = const_cast<void*>(p);
  return cudaSuccess;
}

// There is one memory pool, which keeps nothing.
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  CUEMU_API_CALL();
  if (device != 0) return fail_with(cudaErrorInvalidDevice);
  static char the_pool;
  *pool = reinterpret_cast<cudaMemPool_t>(&the_pool);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) { return cudaDeviceGetDefaultMemPool(pool, device); }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  CUEMU_API_CALL();
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void* value) {
  CUEMU_API_CALL();
  const bool bytes = attribute == cudaMemPoolAttrReservedMemCurrent || attribute == cudaMemPoolAttrUsedMemCurrent;
  if (!bytes) return fail_with(cudaErrorNotSupported);
  *static_cast<std::uint64_t*>(value) = in_use;
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  CUEMU_API_CALL();
  return finish_all();
}
}
