// The CUDA backend: the kernels of kernels/, cuBLASLt's products, and CUDA graphs, all on one stream.
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

/// A Backend whose class CudaBackend has compute() for every op.
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
  /// `stream` is a cudaStream_t of the caller's, on this device and outliving the backend; null makes one.
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
  /// Makes the device current: another backend's may be.
  void bind() const;
  Scratch scratch(std::size_t bytes);
  /// The graph of `times` times the work, null where the stream cannot be captured.
  CUgraphExec_st* record(const std::function<void()>& work, Index times);
  template <class Base, class... Op>
  friend class ComputesAll;
  /// An op is one kernel's launch, or by hand a product and what its epilogue does not do.
  template <class Op>
  void compute(const Op& op) {
    enqueue(Op::name, op);
  }
  void compute(const Linear& op);
  void compute(const LinearBackward& op);
  /// Launches what kernels/launch.h has, on stream_ or another one that runs at the same time.
  template <class Operation>
  void enqueue(const char* op, const Operation& operation, cudaStream_t stream);
  template <class Operation>
  void enqueue(const char* op, const Operation& operation) {
    enqueue(op, operation, stream_);
  }
  /// Checks what an op returned; a debug build also waits for it, so that the error names the op.
  void done(const char* op, cudaError_t code) const;

  struct DestroyStream {
    void operator()(CUstream_st* stream) const noexcept { (void)cudaStreamDestroy(stream); }
  };

  Device device_;
  Precision precision_;
  std::unique_ptr<CUstream_st, DestroyStream> own_stream_;
  cudaStream_t stream_ = nullptr;
  bool recording_ = false;
  // Blocks that were outgrown stay: a recording may still use them.
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
