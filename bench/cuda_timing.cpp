#include "cuda_timing.h"

#include <charconv>

#include "cuda/devices.h"
#include "cuvae/error.h"

namespace cuvae::bench {

using cuda::check;

int cuda_ordinal(const std::string& device) {
  if (device == "cuda") return 0;
  int ordinal = -1;
  const char* end = device.data() + device.size();
  if (device.rfind("cuda:", 0) != 0 || std::from_chars(device.data() + 5, end, ordinal).ptr != end || ordinal < 0)
    throw Error("there is no device '" + device + "'; what is measured here is cuda or cuda:N");
  return ordinal;
}

CudaTimer::CudaTimer(int ordinal) {
  check(cudaSetDevice(cuda::device(ordinal).ordinal), "cudaSetDevice");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  stream_.reset(stream);
  for (auto* event : {&begin_, &end_}) {
    cudaEvent_t raw = nullptr;
    check(cudaEventCreate(&raw), "cudaEventCreate");
    event->reset(raw);
  }
}

double CudaTimer::time(const std::function<void()>& work) const {
  check(cudaEventRecord(begin_.get(), stream()), "cudaEventRecord");
  work();
  check(cudaEventRecord(end_.get(), stream()), "cudaEventRecord");
  check(cudaEventSynchronize(end_.get()), "cudaEventSynchronize");
  float ms = 0;
  check(cudaEventElapsedTime(&ms, begin_.get(), end_.get()), "cudaEventElapsedTime");
  return static_cast<double>(ms);
}

CudaGraph::CudaGraph(cudaStream_t stream, const std::function<void()>& work) : stream_(stream) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  work();
  cudaGraph_t raw = nullptr;
  check(cudaStreamEndCapture(stream, &raw), "cudaStreamEndCapture");
  const CudaHandle<CUgraph_st> graph(raw);
  check(cudaGraphGetNodes(raw, nullptr, &launches_), "cudaGraphGetNodes");
  cudaGraphExec_t ready = nullptr;
  check(cudaGraphInstantiate(&ready, raw, 0), "cudaGraphInstantiate");
  ready_.reset(ready);
}

}  // namespace cuvae::bench
