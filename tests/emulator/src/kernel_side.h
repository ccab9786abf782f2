// The seam between the runtime's host side (memory, streams, graphs, events, copies, errors), which is in this folder,
// and what runs kernels: grid.cpp here, which runs them as C++, or tests/ptx, which interprets what nvcc made of them.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace cuemu {

/// The driver's checks of a launch; then `grid` in the stream's order. It returns false where the kernel failed.
cudaError_t start_grid(const cudaLaunchConfig_t& config, const void* kernel, std::function<bool()> grid);

// What runs kernels defines these, and last_report() and forget() of control.h.
/// Device memory that begins, of undefined content; and that ends.
void memory_begins(void* p, std::size_t bytes);
void memory_ends(void* p);
/// Bytes that a copy, a fill or a product has written.
void memory_written(const void* p, std::size_t bytes);

}  // namespace cuemu
