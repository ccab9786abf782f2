// Work recorded as a CUDA graph: one launch replaces the dozens of a step, or the thousands of an epoch.
#include <algorithm>
#include <bit>
#include <map>

#include "cuda/cuda_backend.h"
#include "cuda/error.h"

namespace cuvae::cuda {
namespace {

struct DestroyGraph {
  void operator()(CUgraph_st* graph) const noexcept { (void)cudaGraphDestroy(graph); }
  void operator()(CUgraphExec_st* graph) const noexcept { (void)cudaGraphExecDestroy(graph); }
};
using Graph = std::unique_ptr<CUgraph_st, DestroyGraph>;
using ReadyGraph = std::unique_ptr<CUgraphExec_st, DestroyGraph>;

// Graphs repeat the work 1, 2, 4, ... times, up to this: any number takes a few launches, and each graph is recorded
// once.
constexpr Index kLongest = 64;

struct Recorded final : Recording::Content {
  std::map<Index, ReadyGraph> graphs;  // by how often they do the work
};

}  // namespace

// The first call runs the work once, so that plans and scratch memory are there when the rest is recorded.
void CudaBackend::do_replay(std::unique_ptr<Recording::Content>& content, const std::function<void()>& work,
                            Index times) {
  if (times > 0 && content == nullptr) {
    work();
    content = std::make_unique<Recorded>();
    --times;
  }
  bind();
  for (Index n = 0; times > 0; times -= n) {
    n = static_cast<Index>(std::bit_floor(static_cast<std::uint64_t>(std::min(times, kLongest))));
    auto& graphs = static_cast<Recorded&>(*content).graphs;
    auto found = graphs.find(n);
    if (found == graphs.end()) found = graphs.emplace(n, record(work, n)).first;
    if (found->second != nullptr) {
      check(cudaGraphLaunch(found->second.get(), stream_), "cudaGraphLaunch");
    } else {
      for (Index i = 0; i < n; ++i) work();
    }
  }
}

CUgraphExec_st* CudaBackend::record(const std::function<void()>& work, Index times) {
  // Thread-local: other threads may go on allocating.
  const cudaError_t begun = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
  if (begun == cudaErrorStreamCaptureUnsupported) {  // a caller's legacy stream
    (void)cudaGetLastError();
    return nullptr;
  }
  check(begun, "cudaStreamBeginCapture");
  recording_ = true;
  std::exception_ptr thrown;
  try {
    for (Index i = 0; i < times; ++i) work();
  } catch (...) {
    thrown = std::current_exception();
  }
  recording_ = false;
  cudaGraph_t raw = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream_, &raw);
  const Graph graph(raw);
  if (thrown != nullptr) std::rethrow_exception(thrown);
  check(ended, "cudaStreamEndCapture");
  cudaGraphExec_t ready = nullptr;
  check(cudaGraphInstantiate(&ready, graph.get(), 0), "cudaGraphInstantiate");
  return ready;
}

}  // namespace cuvae::cuda
