// CUDA's errors as cuvae::Error: one line that names the op or the call. If the user can do something, it says what.
#pragma once
#include <cuda_runtime_api.h>

namespace cuvae::cuda {

[[noreturn]] void fail(cudaError_t code, const char* what);

inline void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess) fail(code, what);
}

}  // namespace cuvae::cuda
