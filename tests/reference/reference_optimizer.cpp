// The reference's optimizer, as torch.optim.Adam, AdamW and SGD with torch.nn.utils.clip_grad_norm_ define it.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "reference.h"

namespace cuvae::reference {

double learning_rate(const LearningRate& s, std::uint32_t step) {
  switch (s.kind) {
    case LearningRate::Kind::constant:
      return s.rate;
    case LearningRate::Kind::cosine: {
      const double now = step, warmup = s.warmup_steps, total = s.total_steps;
      if (now < warmup) return s.rate * (now + 1) / warmup;
      const double progress = std::min(1.0, (now - warmup) / std::max(1.0, total - warmup));
      return s.final_rate + (s.rate - double{s.final_rate}) * (1 + std::cos(std::numbers::pi * progress)) / 2;
    }
    case LearningRate::Kind::step:
      return s.rate * std::pow(double{s.decay}, step / s.every_steps);
    case LearningRate::Kind::pieces:
      for (std::uint32_t i = 0; i < s.pieces; ++i)
        if (step < s.piece_end[i]) return s.piece_rate[i];
      return s.piece_rate[s.pieces - 1];
  }
  return NAN;
}

void optimize(const OptimizerStep& step, const Vector& grads, double loss, OptimizerState& state) {
  if (step.max_skipped > 0 && state.counters.skipped_in_a_row >= step.max_skipped) return;
  double squares = 0;
  for (double g : grads) squares += g * g;
  state.gradient_norm = std::sqrt(squares);
  const double rate = learning_rate(step.learning_rate, state.counters.step++);
  if (!std::isfinite(loss) || !std::isfinite(state.gradient_norm)) {
    ++state.counters.skipped;
    ++state.counters.skipped_in_a_row;
    return;
  }
  state.counters.skipped_in_a_row = 0;
  const double t = ++state.counters.updates;
  const double clip = step.clip_norm > 0 ? std::min(1.0, step.clip_norm / (state.gradient_norm + 1e-6)) : 1.0;
  const double beta1 = step.beta1, beta2 = step.beta2, decay = step.weight_decay, d = step.ema_decay;

  for (std::size_t i = 0; i < grads.size(); ++i) {
    double& p = state.params[i];
    double& m = state.m[i];
    double& v = state.v[i];
    double g = clip * grads[i];
    if (step.clip_value > 0) g = std::min(std::max(g, -double{step.clip_value}), double{step.clip_value});
    if (step.kind == Optimizer::adamw) p -= rate * decay * p;
    if (step.kind != Optimizer::adamw) g += decay * p;
    if (step.kind == Optimizer::sgd) {
      m = beta1 * m + g;
      p -= rate * m;
    } else {
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g * g;
      const double m_hat = m / (1 - std::pow(beta1, t)), correction = 1 - std::pow(beta2, t);
      // Burda's code: lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon).
      p -= step.kind == Optimizer::adam_iwae ? rate * std::sqrt(correction) * m_hat / (std::sqrt(v) + step.epsilon)
                                             : rate * m_hat / (std::sqrt(v / correction) + step.epsilon);
    }
    if (step.ema_decay > 0) state.ema[i] = d * state.ema[i] + (1 - d) * p;
  }
}

}  // namespace cuvae::reference
