// The memory for partial sums of ops. Tests replace this file to find accesses beyond its end.
#include <algorithm>

#include "cuda/cuda_backend.h"

namespace cuvae::cuda {

Scratch CudaBackend::scratch(std::size_t bytes) {
  if (scratch_.empty() || scratch_.back().bytes() < bytes) {
    if (recording_) throw Error("replay: the work needs more memory than when it ran first: it is not the same work");
    const std::size_t before = scratch_.empty() ? 64 * 1024 : scratch_.back().bytes();
    scratch_.push_back(allocate(std::max(bytes, 2 * before)));  // all blocks together stay below twice the last
  }
  return {scratch_.back().data(), ticket_.as<unsigned>()};
}

}  // namespace cuvae::cuda
