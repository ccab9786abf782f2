// The CUDA devices of this machine.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace cuvae::cuda {

struct Device {
  int ordinal = 0;
  std::string name;
  std::size_t memory = 0;     // bytes
  int major = 0, minor = 0;   // compute capability
  bool memory_pools = false;  // cudaMallocAsync works
};

/// All devices. Empty, without an error, if there is no GPU or no driver.
std::vector<Device> devices();

/// Throws Error with the reason if there is no such device.
Device device(int ordinal);

/// "NVIDIA H200, 139 GiB, compute capability 9.0, driver for CUDA 13.0".
std::string describe(const Device&);

/// "12.8" from 12080, as CUDA numbers its versions.
std::string version_text(int version);

}  // namespace cuvae::cuda
