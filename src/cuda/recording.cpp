// Work recorded as a CUDA graph: one launch in place of dozens.
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

struct Recorded final : Recording::Content {
  bool possible = true;
  ReadyGraph graph;
};

}  // namespace

// The first call runs the work, so that plans and scratch memory are there; the second records it.
void CudaBackend::do_replay(std::unique_ptr<Recording::Content>& content, const std::function<void()>& work) {
  if (content == nullptr) {
    work();
    content = std::make_unique<Recorded>();
    return;
  }
  auto& recorded = static_cast<Recorded&>(*content);
  bind();
  if (recorded.graph == nullptr && recorded.possible) {
    // Thread-local: other threads may go on allocating.
    const cudaError_t begun = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    recorded.possible = begun != cudaErrorStreamCaptureUnsupported;  // of a caller's legacy stream
    if (recorded.possible) {
      check(begun, "cudaStreamBeginCapture");
      recording_ = true;
      std::exception_ptr thrown;
      try {
        work();
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
      recorded.graph.reset(ready);
    } else {
      (void)cudaGetLastError();
    }
  }
  if (recorded.graph == nullptr) return work();
  check(cudaGraphLaunch(recorded.graph.get(), stream_), "cudaGraphLaunch");
}

}  // namespace cuvae::cuda
