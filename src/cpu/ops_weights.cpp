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
  const bool running = estimator == Estimator::score_mean;
  const float mean = running ? math::mean_of(*baseline.mean) : 0.0f;
  const Index batch = score.rows / samples;
  chunks(batch, std::max<Index>(1, kSamplesOfAChunk / samples), [&](Index, Index begin, Index end) {
    for (Index row = begin * samples; row < end * samples; row += samples) {
      const float* norm = baseline.score_norm.f32();
      math::score_weights(
          estimator, math::OneLane{}, samples, [&](Index k) { return log_w(row + k); },
          {mean, norm == nullptr ? nullptr : norm + row}, score.f32() + row);
    }
  });
  if (!running) return;
  double sum = 0.0;
  for (Index r = 0; r < score.rows; ++r) sum += static_cast<double>(log_w(r));
  math::update(*baseline.mean, sum / static_cast<double>(score.rows));
}

}  // namespace cuvae::cpu
