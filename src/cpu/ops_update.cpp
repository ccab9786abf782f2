// The optimizer, and statistics of columns.
#include <cmath>

#include "cpu/cpu_backend.h"
#include "math/formulas.h"

namespace cuvae::cpu {

void CpuBackend::do_run(const Adam& op) {
  const Arena& arena = op.arena;
  const OptimizerStep& step = op.step;
  StepState* const state = op.state;
  if (step.max_skipped > 0 && state->skipped_in_a_row >= step.max_skipped) return;
  constexpr Index kChunk = 16384;
  partial64_.assign(static_cast<std::size_t>(chunk_count(arena.size, kChunk)), 0.0);
  chunks(arena.size, kChunk, [&](Index c, Index begin, Index end) {
    partial64_[static_cast<std::size_t>(c)] = p_.sum_of_squares(arena.grads + begin, end - begin);
  });
  double squares = 0.0;
  for (double s : partial64_) squares += s;
  const double norm = std::sqrt(squares);

  const std::uint32_t now = state->step++;
  // Adam squares the gradient in float32, so that is where the norm must be finite too.
  if (!std::isfinite(*op.loss) || !std::isfinite(static_cast<float>(squares))) {
    ++state->skipped;
    ++state->skipped_in_a_row;
    return;
  }
  state->skipped_in_a_row = 0;
  ++state->updates;
  op.sums[metric::updates] += 1.0;
  op.sums[metric::gradient_norm] += norm;

  const double t = state->updates;
  const float clip = step.clip_norm > 0
                         ? static_cast<float>(std::min(1.0, static_cast<double>(step.clip_norm) / (norm + 1e-6)))
                         : 1.0f;
  const auto correction1 = static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(step.beta1), t)));
  const auto correction2 = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(step.beta2), t)));
  const float rate = math::learning_rate(step.learning_rate, now);
  float* ema = step.ema_decay > 0 ? arena.ema : nullptr;
  chunks(arena.size, kChunk, [&](Index, Index begin, Index end) {
    p_.update(step, rate, clip, correction1, correction2, end - begin, arena.params + begin, arena.grads + begin,
              arena.m + begin, arena.v != nullptr ? arena.v + begin : arena.m + begin,
              ema != nullptr ? ema + begin : nullptr);
  });
}

void CpuBackend::merge_moments(const double* from, Index cols, double* to) {
  const double n = from[0], before = to[0], total = before + n;
  for (Index c = 1; c <= cols; ++c) {
    const double delta = from[c] - to[c];
    to[c] += delta * n / total;
    to[cols + c] += from[cols + c] + delta * delta * before * n / total;
  }
  to[0] = total;
}

void CpuBackend::do_run(const CountStep& op) {
  const Index sums = metric::kl_dims + op.latent, columns = 2 * op.latent;
  if (std::isfinite(*op.loss)) {
    for (Index i = 0; i < sums; ++i) op.sums[i] += op.of_step[i];
    merge_moments(op.step_moments, columns, op.moments);
  }
  std::fill_n(op.of_step, sums, 0.0);
  std::fill_n(op.step_moments, 1 + 2 * columns, 0.0);
}

void CpuBackend::do_run(const Moments& op) {
  const ConstView x = op.x;
  double* const acc = op.acc;
  const Index cols = x.cols;
  double* mean = acc + 1;
  double* squares = mean + cols;  // of deviations from the mean
  if (x.rows == 1) {              // a gradient of all parameters, say: one pass, each column for itself
    const double count = acc[0];
    chunks(cols, 1 << 14, [&](Index, Index begin, Index end) {
      for (Index c = begin; c < end; ++c) {
        const double delta = static_cast<double>(x.f32()[c]) - mean[c];
        mean[c] += delta / (count + 1);
        squares[c] += delta * delta * count / (count + 1);
      }
    });
    acc[0] = count + 1;
    return;
  }
  partial64_.assign(static_cast<std::size_t>(1 + 2 * cols), 0.0);
  double *batch_mean = partial64_.data() + 1, *batch_squares = batch_mean + cols;
  for (Index r = 0; r < x.rows; ++r)
    for (Index c = 0; c < cols; ++c) batch_mean[c] += static_cast<double>(x.f32()[r * cols + c]);
  partial64_[0] = static_cast<double>(x.rows);
  for (Index c = 0; c < cols; ++c) batch_mean[c] /= partial64_[0];
  for (Index r = 0; r < x.rows; ++r)
    for (Index c = 0; c < cols; ++c) {
      const double d = static_cast<double>(x.f32()[r * cols + c]) - batch_mean[c];
      batch_squares[c] += d * d;
    }
  merge_moments(partial64_.data(), cols, acc);
}

}  // namespace cuvae::cpu
