// A second stream with its own products, for work that does not depend on what the first stream does at that time.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>

#include "cuda/gemm.h"
#include "cuvae/backend.h"

namespace cuvae::cuda {

class SideLane {
 public:
  /// `workspace` is for the products of this stream.
  SideLane(Precision precision, Buffer workspace);

  cudaStream_t stream() const { return stream_.get(); }
  Gemm& gemm() { return *gemm_; }
  /// Later work of this stream waits for all work that `main` has received so far.
  void begin(cudaStream_t main);
  /// Later work of `main` waits for all work that this stream has received so far.
  void end(cudaStream_t main);

 private:
  struct Destroy {
    void operator()(CUstream_st* stream) const noexcept { (void)cudaStreamDestroy(stream); }
    void operator()(CUevent_st* event) const noexcept { (void)cudaEventDestroy(event); }
  };
  std::unique_ptr<CUstream_st, Destroy> stream_;
  std::unique_ptr<CUevent_st, Destroy> event_;
  Buffer workspace_;
  std::unique_ptr<Gemm> gemm_;
};

}  // namespace cuvae::cuda
