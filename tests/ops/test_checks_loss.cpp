// The checks that stand before every op: each wrong shape, type or missing array is an Error that names the op, the
// array and the shapes. Here: likelihoods, loss, optimizer, moments, and the backend's name.
#include "check_test.h"
#include "error_text.h"

namespace cuvae {
namespace {
using namespace test;

// The loss is optional as a whole; given, each of its parts must be.
struct LossArgs {
  View kl, kl_dims;
  KlWeight weight;
  std::uint32_t* step = nullptr;
  float* loss = nullptr;
  double* sums = nullptr;
  bool given = false;
  double *step_moments = nullptr, *moments = nullptr;
  ElboLoss elbo() const { return {kl, kl_dims, weight, step, loss, sums, step_moments, moments}; }
};

class LossChecks : public CheckTest {
 protected:
  LossArgs loss_args() {
    return {view(3, 1), view(1, 4), {}, memory<std::uint32_t>(), memory<float>(), memory<double>(), true};
  }
};
CUVAE_IN_EVERY_PRECISION(LossChecks);

template <class Args>
std::vector<Mistake<Args>> loss_mistakes() {
  return {{"step is not given", [](Args& a) { a.step = nullptr; }},
          {"loss is not given", [](Args& a) { a.loss = nullptr; }},
          {"sums is not given", [](Args& a) { a.sums = nullptr; }},
          {"step_moments and moments are given both or neither", [](Args& a) { a.moments = a.sums; }},
          {"beta is -1", [](Args& a) { a.weight.beta = -1; }}};
}

struct Bernoulli : LossArgs {
  View logits, x, log_p, dlogits, row_weight;
  void call(Backend& b) const {
    const ElboLoss e = elbo();
    b.bernoulli_log_prob(logits, x, RowFactor(1.0f, row_weight), log_p, dlogits, given ? &e : nullptr);
  }
};

TEST_P(LossChecks, BernoulliLogProb) {
  using B = Bernoulli;
  const B good{{}, activation(6, 5), activation(3, 5), view(6, 1), activation(6, 5), view(6, 1)};
  const std::vector<Slot<B>> slots{{"logits", &B::logits, kShape},
                                   {"x", &B::x, kShape},
                                   {"log_p", &B::log_p, kShape},
                                   {"row_weight", &B::row_weight, kShape | kOptional},
                                   {"gradient", &B::dlogits, kShape | kOptional}};
  expect_checked<B>("bernoulli_log_prob", good, slots);
  B with_loss = good;
  static_cast<LossArgs&>(with_loss) = loss_args();
  std::vector<Slot<B>> more = slots;
  more.push_back({"kl", &B::kl, kShape});
  more.push_back({"kl_dims", &B::kl_dims, kRows});
  expect_checked<B>("bernoulli_log_prob", with_loss, more, loss_mistakes<B>());
}

struct Gaussian : LossArgs {
  View mean, x, log_scale, log_p, dmean, dlog_scale, row_weight;
  void call(Backend& b) const {
    const ElboLoss e = elbo();
    b.gaussian_log_prob(mean, x, log_scale, RowFactor(1.0f, row_weight), log_p, dmean, dlog_scale,
                        given ? &e : nullptr);
  }
};

TEST_P(LossChecks, GaussianLogProb) {
  using G = Gaussian;
  for (const Index scales : {1, 5})
    expect_checked<G>("gaussian_log_prob",
                      {loss_args(), activation(6, 5), activation(3, 5), view(1, scales), view(6, 1), activation(6, 5),
                       view(1, scales), view(6, 1)},
                      {{"mean", &G::mean, kShape},
                       {"x", &G::x, kShape},
                       {"log_scale", &G::log_scale, kShape},
                       {"log_p", &G::log_p, kShape},
                       {"row_weight", &G::row_weight, kShape | kOptional},
                       {"gradient", &G::dmean, kShape | kOptional},
                       {"dlog_scale", &G::dlog_scale, kShape | kOptional},
                       {"kl", &G::kl, kShape},
                       {"kl_dims", &G::kl_dims, kRows}},
                      loss_mistakes<G>());
}

struct ImportanceWeights : LossArgs {
  View log_p_x, log_p_z, log_q, bound, weights, effective;
  void call(Backend& b) const {
    const ElboLoss e = elbo();
    b.importance_weights(log_p_x, log_p_z, log_q, bound, weights, effective, given ? &e : nullptr);
  }
};

TEST_P(LossChecks, ImportanceWeights) {
  using I = ImportanceWeights;
  expect_checked<I>("importance_weights",
                    {loss_args(), view(6, 1), view(6, 1), view(6, 1), view(3, 1), view(6, 1), view(3, 1)},
                    {{"log_p_x", &I::log_p_x, kShape},
                     {"log_p_z", &I::log_p_z, kShape},
                     {"log_q", &I::log_q, kShape},
                     {"bound", &I::bound, kShape},
                     {"weights", &I::weights, kShape},
                     {"effective", &I::effective, kShape | kOptional},
                     {"kl", &I::kl, kShape},
                     {"kl_dims", &I::kl_dims, kRows}},
                    loss_mistakes<I>());
}

struct ScoreWeights {
  View log_p_x, log_p_z, log_q, score;
  RunningMean* mean;
  Estimator estimator = Estimator::score_mean;
  Index samples = 2;
  View norm = {}, network = {}, dnetwork = {};
  RunningMean* variance = nullptr;
  void call(Backend& b) const {
    b.score_weights(estimator, Cost::elbo, log_p_x, log_p_z, log_q, samples, {mean, norm, variance, network, dnetwork},
                    score);
  }
};

TEST_P(LossChecks, ScoreWeights) {
  using S = ScoreWeights;
  expect_checked<S>(
      "score_weights", {view(6, 1), view(6, 1), view(6, 1), view(6, 1), memory<RunningMean>()},
      {{"log_p_x", &S::log_p_x, kShape},
       {"log_p_z", &S::log_p_z, kShape},
       {"log_q", &S::log_q, kShape},
       {"score", &S::score, kShape}},
      {{"the running mean is not given", [](S& s) { s.mean = nullptr; }},
       {"score_norm is not given", [](S& s) { s.estimator = Estimator::optimal_shared; }},
       {"but score_norm is [5, 1], not [6, 1]",
        [&](S& s) { s.estimator = Estimator::optimal_shared, s.norm = view(5, 1); }},
       {"log_p_x is [6, 1] but samples is 4", [](S& s) { s.samples = 4; }},
       {"samples is 0 but score-mean needs at least 1", [](S& s) { s.samples = 0; }},
       {"samples is 1 but rloo needs at least 2", [](S& s) { s.samples = 1, s.estimator = Estimator::rloo; }},
       {"samples is 1 but optimal needs at least 2", [](S& s) { s.samples = 1, s.estimator = Estimator::optimal; }},
       {"samples is 1 but vimco needs at least 2", [](S& s) { s.samples = 1, s.estimator = Estimator::vimco; }},
       {"pathwise takes no scores", [](S& s) { s.estimator = Estimator::pathwise; }},
       {"dreg takes no scores", [](S& s) { s.estimator = Estimator::dreg; }}});
}

TEST_P(LossChecks, ScoreWeightsOfANetwork) {
  using S = ScoreWeights;
  S good{view(6, 1), view(6, 1), view(6, 1), view(6, 1), memory<RunningMean>()};
  good.estimator = Estimator::nvil;
  good.network = view(3, 1), good.dnetwork = activation(3, 1);
  good.variance = memory<RunningMean>();
  expect_checked<S>("score_weights", good,
                    {{"network", &S::network, kShape}, {"dnetwork", &S::dnetwork, kShape | kOptional}},
                    {{"the running mean is not given", [](S& s) { s.mean = nullptr; }},
                     {"the running variance is not given", [](S& s) { s.variance = nullptr; }}});
}

struct Adam {
  Arena arena;
  OptimizerStep step;
  float* loss;
  StepState* state;
  double* sums;
  void call(Backend& b) const { b.adam(arena, step, loss, state, sums); }
};

TEST_P(LossChecks, Adam) {
  using Kind = LearningRate::Kind;
  const Arena arena{memory<float>(), memory<float>(), memory<float>(), memory<float>(), memory<float>(), 9};
  OptimizerStep step;
  step.ema_decay = 0.5f;
  expect_checked<Adam>(
      "adam", {arena, step, memory<float>(), memory<StepState>(), memory<double>()}, {},
      {{"params is not given", [](Adam& a) { a.arena.params = nullptr; }},
       {"grads is not given", [](Adam& a) { a.arena.grads = nullptr; }},
       {"m is not given", [](Adam& a) { a.arena.m = nullptr; }},
       {"v is not given", [](Adam& a) { a.arena.v = nullptr; }},
       {"ema is not given but its decay is 0.5", [](Adam& a) { a.arena.ema = nullptr; }},
       {"the arena has 0 floats", [](Adam& a) { a.arena.size = 0; }},
       {"the arena has -1 floats", [](Adam& a) { a.arena.size = -1; }},
       {"every_steps of at least 1", [](Adam& a) { a.step.learning_rate.kind = Kind::step; }},
       {"has 0 pieces but needs 1 to 16", [](Adam& a) { a.step.learning_rate.kind = Kind::pieces; }},
       {"has 17 pieces", [](Adam& a) { a.step.learning_rate.kind = Kind::pieces, a.step.learning_rate.pieces = 17; }},
       {"loss is not given", [](Adam& a) { a.loss = nullptr; }},
       {"state is not given", [](Adam& a) { a.state = nullptr; }},
       {"sums is not given", [](Adam& a) { a.sums = nullptr; }}});
}

struct Moments {
  View x;
  double* acc;
  void call(Backend& b) const { b.moments(x, acc); }
};

TEST_P(LossChecks, Moments) {
  expect_checked<Moments>("moments", {view(6, 5), memory<double>()}, {{"x", &Moments::x, kFree}},
                          {{"acc is not given", [](Moments& m) { m.acc = nullptr; }}});
}

TEST(MakeBackend, NamesTheDeviceThatIsNotThere) {
  for (const char* device : {"", "gpu", "cpu:1"}) try {
      make_backend(device);
      ADD_FAILURE() << "no error for '" << device << "'";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(std::string("'") + device + "'"), std::string::npos) << error.what();
    }
  EXPECT_THROW(make_backend("cpu", -1), Error);
}

TEST(MakeBackend, TheCpuRefusesBf16) {
  expect_error([] { make_backend("cpu", 0, Precision::bf16); }, "cpu: precision bf16 is not available");
}

TEST(MakeBackend, PrecisionsHaveNames) {
  for (const Precision p : {Precision::fp32, Precision::tf32, Precision::bf16})
    EXPECT_EQ(parse<Precision>(to_string(p)), p);
  expect_error([] { parse<Precision>("fp16"); }, "precision 'fp16' is not one of fp32, tf32, bf16");
}

}  // namespace
}  // namespace cuvae
