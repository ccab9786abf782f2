// The interface between the host side of the runtime (memory, streams, graphs, events, copies, errors), in this folder,
// and the part that runs kernels: grid.cpp here, which runs them as C++, or tests/ptx, which interprets nvcc's output.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace cuemu {

/// Makes the driver's checks of a launch, then runs `grid` in the stream's order. `grid` returns false if it failed.
cudaError_t start_grid(const cudaLaunchConfig_t& config, const void* kernel, std::function<bool()> grid);

// The part that runs kernels defines these, and last_report() and forget() of control.h.
/// Called for new device memory with undefined content, and for memory that is freed.
void memory_begins(void* p, std::size_t bytes);
void memory_ends(void* p);
/// Called for bytes that a copy, a fill or a product has written.
void memory_written(const void* p, std::size_t bytes);

}  // namespace cuemu
