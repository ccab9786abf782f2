// The checks of Bernoulli latents: each wrong shape, type or missing array is an Error that names the op, the array and
// the shapes.
#include "check_test.h"

namespace cuvae {
namespace {
using namespace test;

class BernoulliChecks : public CheckTest {};
CUVAE_IN_EVERY_PRECISION(BernoulliChecks);

TEST_P(BernoulliChecks, SampleBernoulli) {
  using S = SampleBernoulli;
  const S good{.logits = view(3, 4), .noise = noise(), .z = activation(6, 4), .log_q = view(6, 1)};
  expect_checked<S>(good,
                    {{"logits", &S::logits, kShape}, {"z", &S::z, kShape}, {"log_q", &S::log_q, kShape | kOptional}},
                    {{"the noise's step is not given", [](S& a) { a.noise.step = nullptr; }},
                     {"the noise's first row is -1", [](S& a) { a.noise.first_row = -1; }},
                     {"samples is 1 but must be even for antithetic pairs",
                      [](S& a) { a.noise.antithetic = true, a.z.rows = a.log_q.rows = 3; }}});
  S with_norm = good;
  with_norm.score_norm = view(6, 1);
  expect_checked<S>(with_norm, {{"score_norm", &S::score_norm, kShape | kOptional}},
                    {{"score_norm is given but log_q is not", [](S& a) { a.log_q = {}; }}});
  S pairs = good;
  pairs.noise.antithetic = true;
  EXPECT_NO_THROW(backend_.run(pairs));
}

struct ScoreOf {
  template <class Op>
  auto& operator()(Op& op) const {
    return op.score.rows;
  }
};

TEST_P(BernoulliChecks, BernoulliBackward) {
  using B = BernoulliBackward;
  const B good{RowFactor(1.0f, view(6, 1)), false, view(3, 4), activation(6, 4), activation(3, 4)};
  expect_checked<B>(good,
                    {{"score", ScoreOf(), kShape | kOptional},
                     {"logits", &B::logits, kShape},
                     {"z", &B::z, kShape},
                     {"dlogits", &B::dlogits, kShape}},
                    {{"score is not given", [](B& a) { a.optimal_baseline = true, a.score = 1.0f; }},
                     {": an optimal baseline needs at least 2 samples",
                      [](B& a) { a.optimal_baseline = true, a.z.rows = a.score.rows.rows = 3; }}});
  B optimal = good;
  optimal.optimal_baseline = true;
  EXPECT_NO_THROW(backend_.run(optimal));
}

}  // namespace
}  // namespace cuvae
