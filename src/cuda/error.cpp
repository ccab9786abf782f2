#include "cuda/error.h"

#include <string>

#include "cuda/devices.h"
#include "cuvae/error.h"

namespace cuvae::cuda {
namespace {

std::string out_of_memory() {
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return "the device has no memory left";
  constexpr std::size_t kMiB = 1024 * 1024;
  return "the device has no memory left: " + std::to_string(free / kMiB) + " MiB free of " +
         std::to_string(total / kMiB) + " MiB";
}

std::string old_driver() {
  int driver = 0, runtime = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) return "the NVIDIA driver is too old for this build";
  return "the NVIDIA driver is for CUDA " + version_text(driver) + " but this build needs " + version_text(runtime);
}

std::string explain(cudaError_t code) {
  switch (code) {
    case cudaErrorNoDevice:
      return "there is no NVIDIA GPU that this program may use";
    case cudaErrorInsufficientDriver:
    case cudaErrorUnsupportedPtxVersion:
      return old_driver();
    case cudaErrorMemoryAllocation:
      return out_of_memory();
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidKernelImage:
      return "this build has no code for the architecture of the device; build it with CMAKE_CUDA_ARCHITECTURES=native";
    // After these errors the process cannot use the device any more.
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorMisalignedAddress:
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorUnknown:
      return std::string("the device is lost to this process (") + cudaGetErrorString(code) + "); start it again";
    default:
      return std::string(cudaGetErrorString(code)) + " (" + cudaGetErrorName(code) + ")";
  }
}

}  // namespace

void fail(cudaError_t code, const char* what) {
  (void)cudaGetLastError();  // it is reported here, and must not be reported by the next call
  throw Error(std::string(what) + ": " + explain(code));
}

}  // namespace cuvae::cuda
