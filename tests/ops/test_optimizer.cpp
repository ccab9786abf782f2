// adam: Adam, AdamW and SGD, clipping, schedules, averaged weights, and the guard against steps that are not finite.
#include <limits>

#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Optimizer kOptimizers[] = {Optimizer::adam, Optimizer::adamw, Optimizer::sgd, Optimizer::adam_iwae};

/// An arena on the backend, and the reference's copy of it.
class Training {
 public:
  Training(Backend& backend, std::size_t size)
      : params(backend, random_vector(static_cast<Index>(size), 31)),
        grads(backend, size),
        m(backend, std::vector<float>(size)),
        v(backend, std::vector<float>(size)),
        ema(backend, params.get()),
        loss(backend, std::vector<float>{1.0f}),
        counters(backend, std::vector<StepState>(1)),
        sums(backend, std::vector<double>(metric::kl_dims + 2)),
        rounded(backend, 1, static_cast<Index>(size), params.get(), DType::bf16),
        backend_(backend) {
    want.params = want.ema = reference::widen(params.get());
    want.m = want.v = Vector(size);
  }

  void step(const OptimizerStep& how, const std::vector<float>& gradient, float loss_now = 1.0f) {
    grads.set(gradient);
    loss.set({loss_now});
    const Arena arena{params.data(),
                      grads.data(),
                      m.data(),
                      v.data(),
                      how.ema_decay > 0 ? ema.data() : nullptr,
                      static_cast<Index>(params.size()),
                      backend_.activation_type() == DType::bf16 ? View(rounded).data : nullptr};
    backend_.run(Adam{arena, how, loss.data(), counters.data(), sums.data()});
    expect_same_bits(grads.get(), gradient, "grads");
    if (arena.rounded != nullptr) {
      std::vector<float> copy = params.get();
      for (float& value : copy) value = from_bf16(to_bf16(value));
      expect_same_bits(rounded.get(), copy, "the copy as bf16");
    }
    const auto before = want.counters.updates;
    reference::optimize(how, reference::widen(gradient), loss_now, want);
    if (want.counters.updates > before) norms += want.gradient_norm;
  }

  /// Everything against the reference. Values are of order one, so each step adds at most two roundings to a parameter
  /// and 64 to its change, and 8 to the moments (sums of at most `steps` gradients under SGD); clipping adds the norm's
  /// own 1e-6.
  void expect_as_reference(double rate, int steps) const {
    const double u = steps * 0x1p-24;
    expect_close(params.get(), want.params, u * (2 + 64 * rate), 0, "params");
    expect_close(m.get(), want.m, 8 * u, 1e-6, "m");
    expect_close(v.get(), want.v, 8 * u, 1e-6, "v");
    expect_close(ema.get(), want.ema, u * (4 + 64 * rate), 0, "ema");
    expect_counters();
    const std::vector<double> s = sums.get();
    EXPECT_EQ(s[metric::updates], want.counters.updates);
    EXPECT_NEAR(s[metric::gradient_norm], norms, 1e-6 * norms);
  }

  void expect_counters() const {
    const StepState got = counters.get().front();
    EXPECT_EQ(got.step, want.counters.step);
    EXPECT_EQ(got.updates, want.counters.updates);
    EXPECT_EQ(got.skipped, want.counters.skipped);
    EXPECT_EQ(got.skipped_in_a_row, want.counters.skipped_in_a_row);
  }

  std::vector<std::vector<float>> arrays() const { return {params.get(), m.get(), v.get(), ema.get()}; }

  Array<float> params, grads, m, v, ema, loss;
  Array<StepState> counters;
  Array<double> sums;
  Matrix rounded;
  reference::OptimizerState want;
  double norms = 0;

 private:
  Backend& backend_;
};

OptimizerStep make_step(Optimizer kind, float rate) {
  OptimizerStep s;
  s.kind = kind;
  s.learning_rate.rate = rate;
  return s;
}

class Optimizers : public OpTest {
 protected:
  void expect_steps(const OptimizerStep& how, std::size_t size, int steps) {
    Training t(backend_, size);
    for (int i = 0; i < steps; ++i) t.step(how, random_vector(static_cast<Index>(size), 40 + i));
    t.expect_as_reference(how.learning_rate.rate, steps);
  }
};
CUVAE_IN_EVERY_PRECISION(Optimizers);

TEST_P(Optimizers, MatchTheReference) {
  for (const Optimizer kind : kOptimizers)
    for (const std::size_t size : {1, 2, 3, 7, 16, 31, 32, 33, 1023, 1024, 1025}) {
      SCOPED_TRACE(std::string(to_string(kind)) + ", size " + std::to_string(size));
      expect_steps(make_step(kind, 1e-3f), size, 6);
    }
}

TEST_P(Optimizers, MatchTheReferenceOnLargeArenas) {
  for (const Optimizer kind : kOptimizers) {
    SCOPED_TRACE(to_string(kind));
    OptimizerStep how = make_step(kind, 1e-3f);
    how.clip_norm = 5.0f;
    expect_steps(how, 1000003, 2);
  }
}

TEST_P(Optimizers, EveryOptionMatchesTheReference) {
  for (const Optimizer kind : kOptimizers)
    for (const float clip : {0.0f, 0.5f, 1e4f})
      for (const float decay : {0.0f, 0.1f})
        for (const float ema : {0.0f, 0.9f}) {
          SCOPED_TRACE(std::string(to_string(kind)) + ", clip " + std::to_string(clip) + ", weight decay " +
                       std::to_string(decay) + ", ema " + std::to_string(ema));
          OptimizerStep how = make_step(kind, 0.05f);
          how.beta1 = 0.8f, how.beta2 = 0.95f, how.epsilon = 1e-3f;
          how.clip_norm = clip, how.weight_decay = decay, how.ema_decay = ema;
          expect_steps(how, 65, 8);
          how.clip_value = 0.06f;  // below many elements, also where the norm of 65 is 0.5
          expect_steps(how, 65, 3);
        }
}

TEST_P(Optimizers, ZeroAndTinyGradientsAreDividedByEpsilon) {
  for (const Optimizer kind : {Optimizer::adam, Optimizer::adam_iwae}) {
    Training t(backend_, 4);
    for (int i = 0; i < 3; ++i) t.step(make_step(kind, 0.1f), {0.0f, 1e-9f, -1e-8f, 1e-20f});
    t.expect_as_reference(0.1, 3);
  }
}

// From zero parameters at rate one the update itself is the result: a few roundings from the formula, where 1 - 0.999^t
// in float32 would be off by 1e-5.
TEST_P(Optimizers, BiasCorrectionIsExactEarlyAndLate) {
  for (const Optimizer kind : {Optimizer::adam, Optimizer::adam_iwae})
    for (const std::uint32_t updates : {0u, 1u, 2u, 9u, 100u, 199000u}) {
      SCOPED_TRACE(std::string(to_string(kind)) + ", updates " + std::to_string(updates));
      Training t(backend_, 3);
      t.want.params = {0, 0, 0};
      t.params.set({0, 0, 0});
      t.want.counters = {updates + 1000, updates, 1000, 0};
      t.counters.set({t.want.counters});
      t.step(make_step(kind, 1.0f), {0.5f, -0.25f, 1.0f});
      t.expect_counters();
      expect_close(t.params.get(), t.want.params, 0, 0x1p-21, "params");
    }
}

// SGD without momentum moves a parameter by exactly the learning rate, which is four roundings from the formula; the
// cosine of an angle that is itself rounded adds 2^-22 of the rate.
TEST_P(Optimizers, SchedulesFollowTheStep) {
  using Kind = LearningRate::Kind;
  LearningRate cosine{Kind::cosine, 0.5f, 0.125f}, no_warmup = cosine, step{Kind::step, 0.5f}, pieces{Kind::pieces};
  cosine.warmup_steps = 4, cosine.total_steps = 12, no_warmup.total_steps = 8;
  step.decay = 0.7f, step.every_steps = 3;
  pieces.pieces = 3;
  pieces.piece_end[0] = 1, pieces.piece_end[1] = 4, pieces.piece_end[2] = 13;
  pieces.piece_rate[0] = 0.5f, pieces.piece_rate[1] = 0.25f, pieces.piece_rate[2] = 0.1f;
  for (const LearningRate& schedule : {LearningRate{Kind::constant, 0.5f}, cosine, no_warmup, step, pieces})
    for (std::uint32_t now = 0; now < 16; ++now) {
      SCOPED_TRACE("schedule " + std::to_string(static_cast<int>(schedule.kind)) + ", step " + std::to_string(now));
      OptimizerStep how = make_step(Optimizer::sgd, 0);
      how.learning_rate = schedule;
      how.beta1 = 0;
      Training t(backend_, 1);
      t.params.set({0});
      t.want.counters.step = now;
      t.counters.set({t.want.counters});
      t.step(how, {-1.0f});
      expect_close(t.params.get(), {reference::learning_rate(schedule, now)}, 0x1p-23, 0x1p-22, "rate");
    }
}

TEST_P(Optimizers, AStepThatIsNotFiniteChangesNothing) {
  for (const Optimizer kind : kOptimizers)
    for (const std::size_t size : {1, 33, 100003}) {
      SCOPED_TRACE(std::string(to_string(kind)) + ", size " + std::to_string(size));
      OptimizerStep how = make_step(kind, 0.1f);
      how.ema_decay = 0.5f, how.weight_decay = 0.1f;
      Training t(backend_, size);
      const auto gradient = random_vector(static_cast<Index>(size), 50);
      t.step(how, gradient);
      const auto before = t.arrays();
      const auto sums = t.sums.get();
      const auto expect_skipped = [&](const std::vector<float>& g, float loss) {
        t.step(how, g, loss);
        const auto after = t.arrays();
        for (std::size_t i = 0; i < after.size(); ++i)
          expect_same_bits(after[i], before[i], "array " + std::to_string(i));
        expect_same_bits(t.sums.get(), sums, "sums");
        t.expect_counters();
      };
      for (const float bad : {kNaN, kInfinity, -kInfinity}) {
        expect_skipped(gradient, bad);
        for (const std::size_t place : {std::size_t{0}, size / 2, size - 1}) {
          auto broken = gradient;
          broken[place] = bad;
          expect_skipped(broken, 1.0f);
        }
      }
      EXPECT_EQ(t.counters.get().front().skipped_in_a_row, 12u);
      t.step(how, gradient);
      EXPECT_EQ(t.counters.get().front().skipped_in_a_row, 0u);
      EXPECT_EQ(t.counters.get().front().skipped, 12u);
      t.expect_as_reference(0.1, 2);
    }
}

// The arena, the counters and the sums stay as the last of max_skipped steps left them, whatever comes.
TEST_P(Optimizers, NothingHappensAfterTheMostSkippedStepsInARow) {
  for (const Optimizer kind : kOptimizers) {
    SCOPED_TRACE(to_string(kind));
    OptimizerStep how = make_step(kind, 0.1f);
    how.max_skipped = 3;
    Training t(backend_, 33);
    const auto gradient = random_vector(33, 50);
    for (const float loss : {1.0f, kNaN, kNaN, 1.0f, kNaN, kInfinity, kNaN}) t.step(how, gradient, loss);
    const auto before = t.arrays();
    const auto sums = t.sums.get();
    for (const float loss : {1.0f, kNaN, 1.0f}) t.step(how, gradient, loss);
    for (std::size_t i = 0; i < before.size(); ++i)
      expect_same_bits(t.arrays()[i], before[i], "array " + std::to_string(i));
    expect_same_bits(t.sums.get(), sums, "sums");
    const StepState state = t.counters.get().front();
    EXPECT_EQ(state.step, 7u);
    EXPECT_EQ(state.skipped, 5u);
    EXPECT_EQ(state.skipped_in_a_row, 3u);
    how.max_skipped = 4;
    t.step(how, gradient);
    t.expect_as_reference(0.1, 3);
  }
}

// Squares beyond float32 must not reach the second moment, where an infinity would stay for good.
TEST_P(Optimizers, HugeGradientsLeaveTheMomentsFinite) {
  for (const Optimizer kind : kOptimizers) {
    SCOPED_TRACE(to_string(kind));
    Training t(backend_, 3);
    t.step(make_step(kind, 1e-3f), {1e25f, 1.0f, -1.0f});
    for (const auto& array : t.arrays())
      for (float f : array) EXPECT_TRUE(std::isfinite(f));
  }
}

TEST_P(Optimizers, SameBitsEveryTime) {
  OptimizerStep how = make_step(Optimizer::adamw, 0.01f);
  how.clip_norm = 1.0f, how.weight_decay = 0.01f, how.ema_decay = 0.99f;
  std::vector<std::vector<float>> first;
  for (int run = 0; run < 3; ++run) {
    Training t(backend_, 100003);
    for (int i = 0; i < 2; ++i) t.step(how, random_vector(100003, 60 + i));
    if (run == 0) first = t.arrays();
    for (std::size_t i = 0; i < first.size(); ++i)
      expect_same_bits(t.arrays()[i], first[i], "array " + std::to_string(i));
  }
}

}  // namespace
}  // namespace cuvae
