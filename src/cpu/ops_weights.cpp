// The weights of the K samples of a row. They are few, so that nothing is vectorized.
#include "cpu/cpu_backend.h"
#include "math/weights.h"

namespace cuvae::cpu {
namespace {
constexpr Index kSamplesOfAChunk = 1024;
}

void CpuBackend::do_run(const ImportanceWeights& op) {
  const Index samples = op.log_p_x.rows / op.bound.rows;
  const math::LogWeight log_w{op.log_p_x.f32(), op.log_p_z.f32(), op.log_q.f32()};
  chunks(op.bound.rows, std::max<Index>(1, kSamplesOfAChunk / samples), [&](Index, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      const Index row = b * samples;
      float* const weights = op.weights.f32() + row;
      const auto log_w_of = [&](Index k) { return log_w(row + k); };
      float bound = math::importance_weights(math::OneLane{}, samples, log_w_of, weights);
      if (op.effective) op.effective.f32()[b] = math::effective_samples(math::OneLane{}, samples, weights);
      if (op.elbo_share > 0)
        bound = math::mix_in_elbo(math::OneLane{}, samples, log_w_of, op.elbo_share, bound, weights,
                                  op.path ? op.path.f32() + row : nullptr);
      op.bound.f32()[b] = bound;
    }
  });
  if (op.loss.given()) elbo_loss(op.log_p_x, op.loss, op.bound);
}

void CpuBackend::do_run(const ScoreWeights& op) {
  const math::LogWeight log_w{op.log_p_x.f32(), op.log_p_z.f32(), op.log_q.f32()};
  const ScoreBaseline baseline = op.baseline;
  const View score = op.score;
  const Index samples = op.samples;
  const bool learned = has_network(baseline);
  const float mean = has_running_mean(baseline) ? math::mean_of(*op.mean) : 0.0f,
              scale = baseline == ScoreBaseline::network_scaled ? math::inverse_scale(*op.variance) : 1.0f;
  const Index batch = score.rows / samples;
  chunks(batch, std::max<Index>(1, kSamplesOfAChunk / samples), [&](Index, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      const Index row = b * samples;
      const auto f = [&](Index k) { return log_w(row + k); };
      const float less = learned ? op.network.f32()[b] + mean : mean, *norm = op.score_norm.f32();
      math::score_weights(baseline, math::OneLane{}, samples, f, {less, scale, norm == nullptr ? nullptr : norm + row},
                          score.f32() + row);
      if (learned && op.dnetwork)
        op.dnetwork.f32()[b] = math::squares_gradient(math::OneLane{}, samples, f, less, score.rows);
    }
  });
  if (!has_running_mean(baseline) || !op.update_running) return;
  const auto rest = [&](Index r) {
    return static_cast<double>(log_w(r)) - (learned ? static_cast<double>(op.network.f32()[r / samples]) : 0.0);
  };
  double sum = 0.0, squares = 0.0;
  for (Index r = 0; r < score.rows; ++r) sum += rest(r);
  const double of_batch = sum / static_cast<double>(score.rows);
  if (!learned) return math::update(*op.mean, of_batch);
  for (Index r = 0; r < score.rows; ++r) squares += (rest(r) - of_batch) * (rest(r) - of_batch);
  math::update(*op.mean, *op.variance, of_batch, squares / static_cast<double>(score.rows));
}

}  // namespace cuvae::cpu
