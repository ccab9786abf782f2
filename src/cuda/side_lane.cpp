#include "cuda/side_lane.h"

#include <utility>

#include "cuda/error.h"

namespace cuvae::cuda {

SideLane::SideLane(Precision precision, Buffer workspace) : workspace_(std::move(workspace)) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  stream_.reset(stream);
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  event_.reset(event);
  gemm_ = std::make_unique<Gemm>(precision, stream, workspace_.data(), workspace_.bytes());
}

void SideLane::begin(cudaStream_t main) {
  check(cudaEventRecord(event_.get(), main), "cudaEventRecord");
  check(cudaStreamWaitEvent(stream_.get(), event_.get(), 0), "cudaStreamWaitEvent");
}

void SideLane::end(cudaStream_t main) {
  check(cudaEventRecord(event_.get(), stream_.get()), "cudaEventRecord");
  check(cudaStreamWaitEvent(main, event_.get(), 0), "cudaStreamWaitEvent");
}

}  // namespace cuvae::cuda
