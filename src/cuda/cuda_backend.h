// The CUDA backend: the kernels of kernels/, cuBLASLt's products, and CUDA graphs, all on one stream.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "cuda/devices.h"
#include "cuda/gemm.h"
#include "cuvae/backend.h"
#include "launch.h"

namespace cuvae::cuda {

class CudaBackend final : public Backend {
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
  void do_gather_batch(ConstView pixels, const BatchRows&, Binarize, const Noise&, View x) override;
  void do_linear(ConstView x, ConstView w, ConstView b, Activation, View pre, View y) override;
  void do_linear_backward(ConstView x, ConstView w, ConstView dy, Activation below, ConstView below_pre, View dw,
                          View db, View dx) override;
  void do_sample_latent(ConstView stats, const Noise&, View z, View kl, View kl_dims, double* moments, View log_p_z,
                        View log_q, View score_norm) override;
  void do_latent_backward(const LatentTerms&, ConstView stats, const Noise&, ConstView dz, const KlWeight&,
                          ConstView kl_dims, float kl_scale, View dstats) override;
  void do_place_probes(Estimator, ConstView stats, const Noise&, View probes) override;
  void do_probe_backward(Estimator, ConstView stats, const Noise&, ConstView log_p, ConstView log_p_probes,
                         const KlWeight&, ConstView kl_dims, float kl_scale, View dstats) override;
  void do_bernoulli_log_prob(ConstView logits, ConstView x, const RowFactor& row_weight, View log_p, View dlogits,
                             const ElboLoss* loss) override;
  void do_gaussian_log_prob(ConstView mean, ConstView x, ConstView log_scale, const RowFactor& row_weight, View log_p,
                            View dmean, View dlog_scale, const ElboLoss* loss, bool learned) override;
  void do_importance_weights(ConstView log_p_x, ConstView log_p_z, ConstView log_q, View bound, View weights,
                             View effective, const ElboLoss* loss) override;
  void do_score_weights(Estimator, ConstView log_p_x, ConstView log_p_z, ConstView log_q, Index samples,
                        const ScoreBaseline&, View score) override;
  void do_adam(const Arena&, const OptimizerStep&, const float* loss, StepState*, double* sums) override;
  void do_round_to_bf16(ConstView from, View to) override;
  void do_moments(ConstView x, double* acc) override;

  void try_epilogues();
  /// Makes the device current: another backend's may be.
  void bind() const;
  Scratch scratch(std::size_t bytes);
  /// The graph of `times` times the work, null where the stream cannot be captured.
  CUgraphExec_st* record(const std::function<void()>& work, Index times);
  /// Starts one operation of kernels/launch.h.
  template <class Operation>
  void enqueue(const char* op, const Operation& operation);
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
};

template <class Operation>
void CudaBackend::enqueue(const char* op, const Operation& operation) {
  bind();
  if constexpr (requires { scratch_bytes(operation); }) {
    done(op, launch(operation, scratch(scratch_bytes(operation)), stream_));
  } else {
    done(op, launch(operation, stream_));
  }
}

}  // namespace cuvae::cuda
