// The CUDA backend: the kernels of kernels/, cuBLASLt's products, and CUDA graphs. Ops run on one stream; in graphs, a
// second stream takes part of them. Double buffers copy on their own stream.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "cuda/devices.h"
#include "cuda/gemm.h"
#include "cuda/side_lane.h"
#include "cuvae/backend.h"
#include "launch.h"

namespace cuvae::cuda {

class CudaBackend;

/// A Backend that passes every op to compute() of the class CudaBackend.
template <class Base, class... Op>
class ComputesAll : public Base {};
template <class Base, class Op, class... Rest>
class ComputesAll<Base, Op, Rest...> : public ComputesAll<Base, Rest...> {
 protected:
  using ComputesAll<Base, Rest...>::do_run;
  void do_run(const Op& op) final;
};
template <class... Op>
using ComputingBackend = ComputesAll<Backend, Op...>;

class CudaBackend final : public WithAllOps<ComputingBackend> {
 public:
  /// `stream` is the caller's cudaStream_t on this device; it must outlive the backend. If null, the backend makes one.
  explicit CudaBackend(int ordinal, Precision precision = Precision::fp32, void* stream = nullptr);
  ~CudaBackend() override;
  std::string name() const override { return "cuda:" + std::to_string(device_.ordinal); }
  std::string description() const override;
  DType activation_type() const override { return precision_ == Precision::bf16 ? DType::bf16 : DType::f32; }
  bool reads_host_memory() const override { return false; }
  std::size_t available_memory() const override;
  bool records() const override { return true; }

 private:
  void* do_allocate(std::size_t bytes) override;
  void do_free(void* p) noexcept override;
  void do_upload(void* device, const void* host, std::size_t bytes) override;
  void do_download(void* host, const void* device, std::size_t bytes) override;
  void do_zero(void* device, std::size_t bytes) override;
  void do_synchronize() override;
  std::unique_ptr<DoubleBuffer> do_make_double_buffer(std::size_t bytes_of_a_half) override;
  void do_replay(std::unique_ptr<Recording::Content>& content, const std::function<void()>& work, Index times) override;
  void try_epilogues();
  /// Makes this backend's device the current one, because another backend may have chosen its own.
  void bind() const;
  Scratch scratch(std::size_t bytes);
  /// The graph that does the work `times` times, or null if the stream cannot be captured.
  CUgraphExec_st* record(const std::function<void()>& work, Index times);
  template <class Base, class... Op>
  friend class ComputesAll;
  /// Most ops are one launch(). The linear ops are products, and kernels for what the epilogues do not compute.
  template <class Op>
  void compute(const Op& op) {
    enqueue(Op::name, op);
  }
  void compute(const Linear& op);
  void compute(const LinearBackward& op);
  /// Calls launch() of kernels/launch.h, on stream_ or on another stream that runs at the same time.
  template <class Operation>
  void enqueue(const char* op, const Operation& operation, cudaStream_t stream);
  template <class Operation>
  void enqueue(const char* op, const Operation& operation) {
    enqueue(op, operation, stream_);
  }
  /// Checks the result of a launch. A debug build also waits for its end, so that the error names the op.
  void done(const char* op, cudaError_t code) const;

  struct DestroyStream {
    void operator()(CUstream_st* stream) const noexcept { (void)cudaStreamDestroy(stream); }
  };

  Device device_;
  Precision precision_;
  std::unique_ptr<CUstream_st, DestroyStream> own_stream_;
  cudaStream_t stream_ = nullptr;
  bool recording_ = false;
  // Blocks that have become too small are kept, because a recording may still use them.
  std::vector<Buffer> scratch_;
  Buffer ticket_, workspace_;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<SideLane> side_;
};

template <class Base, class Op, class... Rest>
void ComputesAll<Base, Op, Rest...>::do_run(const Op& op) {
  static_cast<CudaBackend*>(static_cast<Backend*>(this))->compute(op);
}

template <class Operation>
void CudaBackend::enqueue(const char* op, const Operation& operation, cudaStream_t stream) {
  bind();
  if constexpr (requires { scratch_bytes(operation); }) {
    done(op, launch(operation, scratch(scratch_bytes(operation)), stream));
  } else {
    done(op, launch(operation, stream));
  }
}

}  // namespace cuvae::cuda
