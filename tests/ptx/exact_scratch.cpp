// Replaces src/cuda/scratch.cpp: every operation gets uninitialised scratch memory of exactly its size, so that a read
// before a write and an access past the end are reported.
#include <algorithm>
#include <deque>

#include "cuda/cuda_backend.h"
#include "cuda/error.h"
#include "cuemu/control.h"

namespace cuvae::cuda {

Scratch CudaBackend::scratch(std::size_t bytes) {
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  auto block = std::find_if(scratch_.begin(), scratch_.end(), [&](const Buffer& b) { return b.bytes() == size; });
  if (block == scratch_.end()) {
    if (recording_) throw Error("replay: the work needs more memory than when it ran first: it is not the same work");
    scratch_.push_back(allocate(size));
    block = std::prev(scratch_.end());
  }
  // Makes it uninitialised again, in the stream's order and in each replay.
  struct Memory {
    void* data;
    std::size_t bytes;
  };
  static std::deque<Memory> forgotten;
  const auto forget = [](void* m) { cuemu::forget(static_cast<Memory*>(m)->data, static_cast<Memory*>(m)->bytes); };
  check(cudaLaunchHostFunc(stream_, forget, &forgotten.emplace_back(block->data(), size)), "cudaLaunchHostFunc");
  return {block->data(), ticket_.as<unsigned>()};
}

}  // namespace cuvae::cuda
