// The CPU backend: oneDNN's products, and one vectorised pass over memory for everything between them.
#pragma once
#include <limits>
#include <vector>

#include "cpu/passes.h"
#include "cpu/team.h"
#include "cuvae/backend.h"

namespace cuvae::cpu {

/// The numbers of a stream at the noise's step; without one, at step 0.
inline Draw draw_of(const Noise& n, Stream stream) {
  return {n.seed, static_cast<std::uint32_t>(stream), n.step != nullptr ? *n.step : 0};
}

class CpuBackend final : public Backend {
 public:
  /// threads 0: default_threads().
  explicit CpuBackend(int threads);
  std::string name() const override { return "cpu"; }
  std::string description() const override;
  bool reads_host_memory() const override { return true; }
  std::size_t available_memory() const override { return std::numeric_limits<std::size_t>::max(); }

 private:
  void* do_allocate(std::size_t bytes) override;
  void do_free(void* p) noexcept override;
  void do_upload(void* device, const void* host, std::size_t bytes) override;
  void do_download(void* host, const void* device, std::size_t bytes) override;
  void do_zero(void* device, std::size_t bytes) override;
  void do_synchronize() override {}
  std::unique_ptr<DoubleBuffer> do_make_double_buffer(std::size_t bytes_of_a_half) override;
  void do_run(const GatherBatch& op) override;
  void do_run(const JoinColumns& op) override;
  void do_run(const FillMissing& op) override;
  void do_run(const Linear& op) override;
  void do_run(const LinearBackward& op) override;
  void do_run(const SampleGaussian& op) override;
  void do_run(const GaussianBackward& op) override;
  void do_run(const SampleBernoulli& op) override;
  void do_run(const BernoulliBackward& op) override;
  void do_run(const PlaceProbes& op) override;
  void do_run(const ProbeBackward& op) override;
  void do_run(const LogProb& op) override;
  void do_run(const GaussianLogProb& op) override;
  void do_run(const DrawData& op) override;
  void do_run(const LatentLogProb& op) override;
  void do_run(const MixtureLogProb& op) override;
  void do_run(const BernoulliLogProb& op) override;
  void do_run(const MergeGaussians& op) override;
  void do_run(const MergeGaussiansBackward& op) override;
  void do_run(const ImportanceWeights& op) override;
  void do_run(const ScoreWeights& op) override;
  void do_run(const Adam& op) override;
  void do_run(const RoundToBf16&) override {}  // its activations are f32
  void do_run(const Moments& op) override;
  void do_run(const CountStep& op) override;

  template <class F>
  void chunks(Index n, Index chunk, F&& f) {
    team_.chunks(n, chunk, f);
  }
  /// Moments of `cols` columns as Moments lays them out, into those of other rows.
  static void merge_moments(const double* from, Index cols, double* to);
  /// With a bound, the loss is of that.
  static void elbo_loss(ConstView log_p, const ElboLoss& loss, ConstView bound = {});
  /// out[c] = the sum over chunks of chunk_sums [chunks, width], in chunk order; or out[c] += that.
  static void combine(const std::vector<float>& chunk_sums, Index width, float* out,
                      Gradients gradients = Gradients::replace);

  Team team_;
  const Passes& p_;
  std::vector<float> partial_;  // per-chunk sums; grows to the largest op, then stays
  std::vector<double> partial64_;
  std::vector<float> noise_;  // one block of normals per chunk that is being worked on; rows for Moments
};

}  // namespace cuvae::cpu
