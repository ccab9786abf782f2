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

TEST_P(BernoulliChecks, BernoulliLogProb) {
  using L = BernoulliLogProb;
  const std::vector<Slot<L>> outputs{{"row_weight", RowWeightOf(), kShape | kOptional},
                                     {"log_p", &L::log_p, kShape | kOptional},
                                     {"dlogits", &L::dlogits, kShape | kOptional}};
  const std::vector<Mistake<L>> none{{"neither log_p nor dlogits is given", [](L& a) { a.log_p = a.dlogits = {}; }}};
  const L rows{activation(6, 4), view(6, 4), RowFactor(1.0f, view(6, 1)), view(6, 1), false, activation(6, 4)};
  expect_checked<L>(rows, outputs, none);
  expect_checked<L>(rows, {{"z", &L::z, kShape}, {"logits", &L::logits, kShape}},
                    {{"dlogits is added to", [](L& a) { a.gradients = Gradients::add; }}});
  L one_row = rows;
  one_row.logits = view(1, 4), one_row.dlogits = view(1, 4), one_row.gradients = Gradients::add;
  expect_checked<L>(one_row, {{"row_weight", RowWeightOf(), kShape | kOptional}, {"logits", &L::logits, kShape}}, none);
  one_row.gradients = Gradients::replace;
  expect_checked<L>(one_row, outputs, none);
  if (type_ == DType::f32) return;
  one_row.dlogits = activation(1, 4);
  expect_error("dlogits is [1, 4] bf16 but must be f32", one_row);
  one_row.z.rows = one_row.log_p.rows = one_row.row_weight.rows.rows = 1;
  EXPECT_NO_THROW(backend_.run(one_row));
  one_row.gradients = Gradients::add;
  expect_error("dlogits is added to", one_row);
}

}  // namespace
}  // namespace cuvae
