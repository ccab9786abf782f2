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
  void do_moments(ConstView x, double* acc) override;

  template <class F>
  void chunks(Index n, Index chunk, F&& f) {
    team_.chunks(n, chunk, f);
  }
  /// Moments of `cols` columns as Backend::moments lays them out, into those of other rows.
  static void merge_moments(const double* from, Index cols, double* to);
  /// With a bound, the loss is of that.
  static void elbo_loss(ConstView log_p, const ElboLoss& loss, ConstView bound = {});
  /// out[c] = the sum over chunks of chunk_sums [chunks, width], in chunk order.
  static void combine(const std::vector<float>& chunk_sums, Index width, float* out);

  Team team_;
  const Passes& p_;
  std::vector<float> partial_;  // per-chunk sums; grows to the largest op, then stays
  std::vector<double> partial64_;
  std::vector<float> noise_;  // one block of normals per chunk that is being worked on
};

}  // namespace cuvae::cpu
