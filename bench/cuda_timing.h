// Timing on a CUDA stream by events, and work captured as a graph.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <string>

#include "cuda/error.h"

namespace cuvae::bench {

/// The N of "cuda:N", 0 for "cuda"; throws Error for anything else.
int cuda_ordinal(const std::string& device);

struct DestroyCuda {
  void operator()(CUstream_st* p) const noexcept { (void)cudaStreamDestroy(p); }
  void operator()(CUevent_st* p) const noexcept { (void)cudaEventDestroy(p); }
  void operator()(CUgraph_st* p) const noexcept { (void)cudaGraphDestroy(p); }
  void operator()(CUgraphExec_st* p) const noexcept { (void)cudaGraphExecDestroy(p); }
};
template <class T>
using CudaHandle = std::unique_ptr<T, DestroyCuda>;

/// A stream with two events.
class CudaTimer {
 public:
  explicit CudaTimer(int ordinal);
  cudaStream_t stream() const { return stream_.get(); }
  /// The milliseconds that the work takes on the device. Waits for its end.
  double time(const std::function<void()>& work) const;

 private:
  CudaHandle<CUstream_st> stream_;
  CudaHandle<CUevent_st> begin_, end_;
};

/// Work as a graph, which is one launch. The work must have run before, so that it allocates nothing.
class CudaGraph {
 public:
  CudaGraph(cudaStream_t stream, const std::function<void()>& work);
  void launch() const { cuda::check(cudaGraphLaunch(ready_.get(), stream_), "cudaGraphLaunch"); }
  /// The number of kernels and copies in the graph.
  std::size_t launches() const { return launches_; }

 private:
  cudaStream_t stream_;
  CudaHandle<CUgraphExec_st> ready_;
  std::size_t launches_ = 0;
};

}  // namespace cuvae::bench
