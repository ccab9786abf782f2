// The calls of nvcc's host code: it registers the fat binary of each object, from which the PTX is read, and launches
// kernels by the address of their host function.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "block.h"
#include "kernel_side.h"
#include "problems.h"
#include "settings.h"

namespace ptx {
namespace {

std::map<const void*, std::string>& kernel_names() {
  static std::map<const void*, std::string> names;
  return names;
}

template <class T>
T read(const unsigned char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// A header of {u32 magic, u16 version, u16 header bytes, u64 bytes}, then entries of {u16 kind, u16 version, u32 header
// bytes, u64 bytes}; kind 1 is PTX, as text unless it is compressed.
void load_fat_binary(const unsigned char* data) {
  const unsigned char* at = data + read<u16>(data + 6);
  const unsigned char* const end = at + read<u64>(data + 8);
  bool found = false;
  while (at < end) {
    const u64 header = read<u32>(at + 4), bytes = read<u64>(at + 8);
    if (read<u16>(at) == 1 && !found) {
      const std::string text(reinterpret_cast<const char*>(at + header), bytes);
      if (text.find(".version") == std::string::npos) unknown("compressed PTX: compile with --no-compress");
      load(text.c_str());  // up to its terminating zero
      found = true;
    }
    at += header + bytes;
  }
  if (!found) unknown("an object without PTX: compile for a virtual architecture too");
}

std::vector<u8> pack(const Kernel& kernel, void** arguments) {
  std::vector<u8> packed(kernel.parameter_bytes, 0xff);
  for (std::size_t i = 0; i < kernel.parameters.size(); ++i)
    std::memcpy(packed.data() + kernel.parameters[i].offset, arguments[i], kernel.parameters[i].bytes);
  return packed;
}

bool run_grid(const Kernel& kernel, Dimensions grid, Dimensions threads, const std::vector<u8>& arguments) {
  static u64 launches = 0;
  const u64 seed = cuemu::settings().seed, blocks = grid.count();
  cuemu::Random random(seed * 0x2545f4914f6cdd1du + ++launches);
  const u64 first = seed == 0 ? 0 : random.bits() % blocks;
  const bool reversed = seed != 0 && random.one_in(2);
  begin_launch();
  if (threads.count() > kernel.max_threads) {
    problem("more threads than __launch_bounds__ says in " + kernel.pretty);
    return false;
  }
  Block block(kernel, grid, threads, arguments, seed == 0, random);
  for (u64 i = 0; i < blocks; ++i)
    if (!block.run((first + (reversed ? blocks - 1 - i : i)) % blocks)) return false;
  return true;
}

}  // namespace
}  // namespace ptx

extern "C" {

struct FatBinaryWrapper {
  int magic, version;
  const unsigned char* data;
  void* other;
};

void** __cudaRegisterFatBinary(void* wrapper) {
  ptx::load_fat_binary(static_cast<const FatBinaryWrapper*>(wrapper)->data);
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  ptx::kernel_names()[host] = name;
}
void __cudaRegisterVar(void**, char*, char*, const char* name, int, size_t, int, int) { ptx::unknown(name); }
char __cudaInitModule(void**) { return 1; }

// Needed for <<<>>>, which the rules for kernels forbid. nvcc's stubs contain these names anyway.
unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, void*) { ptx::unknown("<<<>>>"); }
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { ptx::unknown("<<<>>>"); }
cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t) { ptx::unknown("<<<>>>"); }
cudaError_t __cudaGetKernel(cudaKernel_t*, const void*) { ptx::unknown("<<<>>>"); }
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t) { ptx::unknown("<<<>>>"); }

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  const auto name = ptx::kernel_names().find(function);
  const ptx::Kernel* kernel = name == ptx::kernel_names().end() ? nullptr : ptx::find_kernel(name->second);
  if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
  if (config->dynamicSmemBytes != 0) ptx::unknown("dynamic shared memory");
  const auto dimensions = [](dim3 d) { return ptx::Dimensions{d.x, d.y, d.z}; };
  return cuemu::start_grid(
      *config, function,
      [kernel, grid = dimensions(config->gridDim), block = dimensions(config->blockDim),
       packed = ptx::pack(*kernel, arguments)] { return ptx::run_grid(*kernel, grid, block, packed); });
}
}
