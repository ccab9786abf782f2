#include "schedule.h"

#include <algorithm>
#include <cmath>

#include "text.h"

namespace cuvae {

void Schedule::validate() const {
  const auto check = [](bool ok, const char* name, double value, const char* rule) {
    if (!ok) throw Error(std::string("schedule: ") + name + " is " + number(value) + " but must be " + rule);
  };
  check(rate > 0 && std::isfinite(rate), "the rate", rate, "positive");
  check(final_rate >= 0 && std::isfinite(final_rate), "the final rate", final_rate, "at least 0");
  check(warmup_epochs >= 0 && std::isfinite(warmup_epochs), "the warm-up", warmup_epochs, "at least 0 epochs");
  if (kind == LearningRate::Kind::step) {
    check(decay > 0 && std::isfinite(decay), "the decay", decay, "positive");
    check(every_epochs > 0 && std::isfinite(every_epochs), "the interval", every_epochs, "a positive number of epochs");
  }
  if (kind != LearningRate::Kind::pieces) return;
  if (pieces.empty() || pieces.size() > LearningRate::kMaxPieces)
    throw Error("schedule: " + std::to_string(pieces.size()) + " (passes, rate) pairs are given but 1 to " +
                std::to_string(LearningRate::kMaxPieces) + " are needed");
  for (const auto& [passes, piece_rate] : pieces) {
    check(passes > 0 && std::isfinite(passes), "a number of passes", passes, "positive");
    check(piece_rate > 0 && std::isfinite(piece_rate), "a rate", piece_rate, "positive");
  }
}

namespace {
std::uint32_t steps(double epochs, Index steps_per_epoch) {
  return static_cast<std::uint32_t>(
      std::clamp(std::round(epochs * static_cast<double>(steps_per_epoch)), 0.0, 4294967295.0));
}
}  // namespace

KlWeight kl_weight(const TrainConfig& config, Index steps_per_epoch) {
  return {config.beta, steps(config.kl_warmup_epochs, steps_per_epoch), config.free_bits};
}

OptimizerStep optimizer_step(const TrainConfig& config, Index steps_per_epoch) {
  const Schedule& s = config.schedule;
  LearningRate lr;
  lr.kind = s.kind;
  lr.rate = static_cast<float>(s.rate);
  lr.final_rate = static_cast<float>(s.final_rate);
  lr.decay = static_cast<float>(s.decay);
  lr.warmup_steps = steps(s.warmup_epochs, steps_per_epoch);
  lr.total_steps = steps(static_cast<double>(config.epochs), steps_per_epoch);
  lr.every_steps = std::max(1u, steps(s.every_epochs, steps_per_epoch));
  double passes = 0;
  for (const auto& [more, rate] : s.pieces) {
    passes += more;
    lr.piece_end[lr.pieces] = steps(passes, steps_per_epoch);
    lr.piece_rate[lr.pieces++] = static_cast<float>(rate);
  }
  return {config.optimizer,
          lr,
          config.beta1,
          config.beta2,
          config.epsilon,
          config.weight_decay,
          config.clip_norm,
          config.ema_decay,
          static_cast<std::uint32_t>(config.max_skipped)};
}

}  // namespace cuvae
