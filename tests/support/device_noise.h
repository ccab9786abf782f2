// The random numbers of the kernels, written to memory.
#pragma once
#include <cuda_runtime_api.h>

#include "cuvae/types.h"

namespace cuvae::test {

/// Writes the words and normals with numbers 4 * first_group + [0, 4 * groups) of a family at `step`, and waits for
/// them. noise.step is not used.
cudaError_t device_noise(const Noise& noise, std::uint32_t step, std::uint64_t first_group, Index groups,
                         std::uint32_t* words, float* normals);

}  // namespace cuvae::test
