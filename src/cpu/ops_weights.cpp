// What the K samples of a row count for. They are few: no pass is worth vectorising.
#include "cpu/cpu_backend.h"
#include "math/weights.h"

namespace cuvae::cpu {
namespace {
constexpr Index kSamplesOfAChunk = 1024;
}

void CpuBackend::do_importance_weights(ConstView log_p_x, ConstView log_p_z, ConstView log_q, View bound, View weights,
                                       View effective, const ElboLoss* loss) {
  const Index samples = log_p_x.rows / bound.rows;
  const math::LogWeight log_w{log_p_x.f32(), log_p_z.f32(), log_q.f32()};
  chunks(bound.rows, std::max<Index>(1, kSamplesOfAChunk / samples), [&](Index, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      const Index row = b * samples;
      float size;
      bound.f32()[b] = math::importance_weights(
          math::OneLane{}, samples, [&](Index k) { return log_w(row + k); }, weights.f32() + row, size);
      if (effective) effective.f32()[b] = size;
    }
  });
  if (loss != nullptr) elbo_loss(log_p_x, *loss, bound);
}

void CpuBackend::do_score_weights(Estimator estimator, ConstView log_p_x, ConstView log_p_z, ConstView log_q,
                                  Index samples, const ScoreBaseline& baseline, View score) {
  const math::LogWeight log_w{log_p_x.f32(), log_p_z.f32(), log_q.f32()};
  const ConstView network = baseline.network;
  const float mean = baseline.mean != nullptr ? math::mean_of(*baseline.mean) : 0.0f,
              scale = estimator == Estimator::nvil_scaled ? math::inverse_scale(*baseline.variance) : 1.0f;
  const Index batch = score.rows / samples;
  chunks(batch, std::max<Index>(1, kSamplesOfAChunk / samples), [&](Index, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      const Index row = b * samples;
      const auto f = [&](Index k) { return log_w(row + k); };
      const float less = network ? network.f32()[b] + mean : mean, *norm = baseline.score_norm.f32();
      math::score_weights(estimator, math::OneLane{}, samples, f, {less, scale, norm == nullptr ? nullptr : norm + row},
                          score.f32() + row);
      if (baseline.dnetwork)
        baseline.dnetwork.f32()[b] = math::squares_gradient(math::OneLane{}, samples, f, less, score.rows);
    }
  });
  if (baseline.mean == nullptr) return;
  const auto rest = [&](Index r) {
    return static_cast<double>(log_w(r)) - (network ? static_cast<double>(network.f32()[r / samples]) : 0.0);
  };
  double sum = 0.0, squares = 0.0;
  for (Index r = 0; r < score.rows; ++r) sum += rest(r);
  const double of_batch = sum / static_cast<double>(score.rows);
  if (baseline.variance == nullptr) return math::update(*baseline.mean, of_batch);
  for (Index r = 0; r < score.rows; ++r) squares += (rest(r) - of_batch) * (rest(r) - of_batch);
  math::update(*baseline.mean, *baseline.variance, of_batch, squares / static_cast<double>(score.rows));
}

}  // namespace cuvae::cpu
