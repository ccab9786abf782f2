#include "train/schedule.h"

#include <algorithm>
#include <cmath>

#include "io/text.h"

namespace cuvae {

void Schedule::validate() const {
  const auto check = [](bool ok, const char* name, double value, const char* rule) {
    if (!ok) throw Error(std::string("schedule: ") + name + " is " + number(value) + " but must be " + rule);
  };
  // Devices get rates as float32, which has a smaller range than double.
  const auto positive = [](double x) {
    return x > 0 && static_cast<float>(x) > 0 && std::isfinite(static_cast<float>(x));
  };
  constexpr const char* kPositive = "positive, also in float32";
  check(positive(rate), "the rate", rate, kPositive);
  check(final_rate == 0 || positive(final_rate), "the final rate", final_rate, "0 or positive, also in float32");
  check(warmup_epochs >= 0 && std::isfinite(warmup_epochs), "the warm-up", warmup_epochs, "at least 0 epochs");
  check(epochs >= 0 && std::isfinite(epochs), "the length", epochs, "at least 0 epochs");
  if (kind == LearningRate::Kind::step) {
    check(positive(decay), "the decay", decay, kPositive);
    check(every_epochs > 0 && std::isfinite(every_epochs), "the interval", every_epochs, "a positive number of epochs");
  }
  if (kind != LearningRate::Kind::pieces) return;
  if (pieces.empty() || pieces.size() > LearningRate::kMaxPieces)
    throw Error("schedule: " + std::to_string(pieces.size()) + " (passes, rate) pairs are given but 1 to " +
                std::to_string(LearningRate::kMaxPieces) + " are needed");
  for (const auto& [passes, piece_rate] : pieces) {
    check(passes > 0 && std::isfinite(passes), "a number of passes", passes, "positive");
    check(positive(piece_rate), "a rate", piece_rate, kPositive);
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
  lr.total_steps = steps(s.epochs > 0 ? s.epochs : static_cast<double>(config.epochs), steps_per_epoch);
  lr.every_steps = std::max(1u, steps(s.every_epochs, steps_per_epoch));
  double passes = 0;
  for (const auto& [more, rate] : s.pieces) {
    passes += more;
    lr.piece_end[lr.pieces] = steps(passes, steps_per_epoch);
    lr.piece_rate[lr.pieces++] = static_cast<float>(rate);
  }
  const bool of_sum = config.optimizer == Optimizer::adam_iwae;  // its epsilon is for gradients B times as large
  return {config.optimizer,
          lr,
          config.beta1,
          config.beta2,
          of_sum ? config.epsilon / static_cast<float>(config.batch) : config.epsilon,
          config.weight_decay,
          config.clip_norm,
          config.clip_value,
          config.ema_decay,
          static_cast<std::uint32_t>(config.max_skipped)};
}

void check_durations(const TrainConfig& config, Index steps_per_epoch) {
  const auto check = [&](const std::string& name, double from, double to) {
    if (to > from && steps(from, steps_per_epoch) == steps(to, steps_per_epoch))
      throw Error("training: " + name + " of " + number(to - from) + " epochs rounds to 0 steps: an epoch has " +
                  std::to_string(steps_per_epoch));
  };
  const Schedule& s = config.schedule;
  check("a KL warm-up", 0, config.kl_warmup_epochs);
  if (s.kind == LearningRate::Kind::cosine) {
    check("a warm-up of the rate", 0, s.warmup_epochs);
    check("a cosine", 0, s.epochs);
  }
  if (s.kind == LearningRate::Kind::step) check("an interval between rates", 0, s.every_epochs);
  if (s.kind != LearningRate::Kind::pieces) return;
  double passes = 0;
  for (const auto& [more, rate] : s.pieces) {
    check("a piece of the schedule", passes, passes + more);
    passes += more;
  }
}

}  // namespace cuvae
