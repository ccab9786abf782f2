// The checks that stand before every op: each wrong shape, type or missing array is an Error that names the op, the
// array and the shapes. Here: likelihoods, loss, optimizer, moments, and the backend's name.
#include "check_test.h"
#include "cuvae/estimator.h"
#include "cuvae/likelihood.h"
#include "error_text.h"

namespace cuvae {
namespace {
using namespace test;

class LossChecks : public CheckTest {
 protected:
  ElboLoss loss() { return {view(3, 1), view(1, 4), {}, memory<std::uint32_t>(), memory<float>(), memory<double>()}; }
};
CUVAE_IN_EVERY_PRECISION(LossChecks);

struct KlOf {
  template <class Op>
  auto& operator()(Op& op) const {
    return op.loss.kl;
  }
};
struct KlDimsOf {
  template <class Op>
  auto& operator()(Op& op) const {
    return op.loss.kl_dims;
  }
};
// The loss is optional as a whole; given, each of its parts must be.
template <class Op>
std::vector<Slot<Op>> with_loss(std::vector<Slot<Op>> slots) {
  slots.push_back({"kl", KlOf(), kShape});
  slots.push_back({"kl_dims", KlDimsOf(), kRows});
  return slots;
}
template <class Op>
std::vector<Mistake<Op>> loss_mistakes() {
  return {{"step is not given", [](Op& a) { a.loss.step = nullptr; }},
          {"loss is not given", [](Op& a) { a.loss.loss = nullptr; }},
          {"sums is not given", [](Op& a) { a.loss.sums = nullptr; }},
          {"step_moments and moments are given both or neither", [](Op& a) { a.loss.moments = a.loss.sums; }},
          {"beta is -1", [](Op& a) { a.loss.weight.beta = -1; }}};
}

TEST_P(LossChecks, ALossHasItsKlFromSamples) {
  using L = LogProb;
  L good{Likelihood::bernoulli, activation(6, 5), activation(3, 5), 1.0f, view(6, 1), {}, loss()};
  good.loss.kl = good.loss.kl_dims = {};
  good.loss.log_q = view(6, 1), good.loss.log_p_z = view(6, 1), good.loss.latent = 4;
  EXPECT_NO_THROW(backend_.run(good));
  const auto with = [&](const auto& change) {
    L op = good;
    change(op.loss);
    return op;
  };
  expect_error("log_p_z is not given", with([](ElboLoss& l) { l.log_p_z = {}; }));
  expect_error("but log_p_z is [5, 1]", with([](ElboLoss& l) { l.log_p_z.rows = 5; }));
  expect_error("x is [3, 5]", with([](ElboLoss& l) { l.log_q.rows = 5; }));
  expect_error("kl and kl_dims are given", with([&](ElboLoss& l) { l.kl = view(3, 1); }));
  expect_error("a KL from samples has none", with([](ElboLoss& l) { l.weight.free_bits = 0.5f; }));
  expect_error("moments are given without their latent width",
               with([](ElboLoss& l) { l.step_moments = l.moments = l.sums, l.latent = 0; }));
  L without = good;
  without.loss.log_q = {};
  expect_error("kl is not given", without);
}

TEST_P(LossChecks, LogProb) {
  using L = LogProb;
  for (const LikelihoodTraits& t : kLikelihoods) {
    const Index width = 5 * t.outputs;
    L good{t.likelihood,
           activation(6, width),
           activation(3, 5),
           RowFactor(1.0f, view(6, 1)),
           view(6, 1),
           activation(6, width),
           {}};
    if (is_scale_shared(t.likelihood)) {
      expect_error(
          "the likelihood is " + std::string(t.name) + " but its scale, which all rows share, needs gaussian_log_prob",
          good);
      continue;
    }
    const std::vector<Slot<L>> slots{{"outputs", &L::outputs, kShape},
                                     {"x", &L::x, kShape},
                                     {"log_p", &L::log_p, kShape},
                                     {"row_weight", RowWeightOf(), kShape | kOptional},
                                     {"gradient", &L::doutputs, kShape | kOptional}};
    expect_checked<L>(good, slots);
    good.loss = loss();
    expect_checked<L>(good, with_loss(slots), loss_mistakes<L>());
    good.outputs.cols = 15;
    expect_error(t.outputs == 1 ? "outputs is [6, 15" : ", with 2 outputs a value", good);
  }
}

TEST_P(LossChecks, GaussianLogProb) {
  using G = GaussianLogProb;
  for (const Index scales : {1, 5})
    expect_checked<G>({activation(6, 5), activation(3, 5), view(1, scales), RowFactor(1.0f, view(6, 1)), view(6, 1),
                       activation(6, 5), view(1, scales), loss()},
                      with_loss<G>({{"mean", &G::mean, kShape},
                                    {"x", &G::x, kShape},
                                    {"log_scale", &G::log_scale, kShape},
                                    {"log_p", &G::log_p, kShape},
                                    {"row_weight", RowWeightOf(), kShape | kOptional},
                                    {"gradient", &G::dmean, kShape | kOptional},
                                    {"dlog_scale", &G::dlog_scale, kShape | kOptional}}),
                      loss_mistakes<G>());
}

TEST_P(LossChecks, ImportanceWeights) {
  using I = ImportanceWeights;
  expect_checked<I>({view(6, 1), view(6, 1), view(6, 1), view(3, 1), view(6, 1), view(3, 1), loss()},
                    with_loss<I>({{"log_p_x", &I::log_p_x, kShape},
                                  {"log_p_z", &I::log_p_z, kShape},
                                  {"log_q", &I::log_q, kShape},
                                  {"bound", &I::bound, kShape},
                                  {"weights", &I::weights, kShape},
                                  {"effective", &I::effective, kShape | kOptional}}),
                    loss_mistakes<I>());
  I mixed{view(6, 1), view(6, 1), view(6, 1), view(3, 1), view(6, 1), view(3, 1)};
  mixed.elbo_share = 0.5f, mixed.path = view(6, 1);
  expect_checked<I>(mixed, {{"path", &I::path, kShape | kOptional}},
                    {{"elbo_share is -0.1 but must be from 0 to 1", [](I& i) { i.elbo_share = -0.1f; }},
                     {"elbo_share is 1.5 but must be from 0 to 1", [](I& i) { i.elbo_share = 1.5f; }},
                     {"elbo_share is nan but must be from 0 to 1", [](I& i) { i.elbo_share = NAN; }},
                     {"path is given but elbo_share is 0", [](I& i) { i.elbo_share = 0; }}});
}

TEST_P(LossChecks, ScoreWeights) {
  using S = ScoreWeights;
  const S good{.baseline = ScoreBaseline::running_mean,
               .log_p_x = view(6, 1),
               .log_p_z = view(6, 1),
               .log_q = view(6, 1),
               .samples = 2,
               .score = view(6, 1),
               .mean = memory<RunningMean>()};
  const auto with_one_sample = [](ScoreBaseline b) { return [b](S& s) { s.samples = 1, s.baseline = b; }; };
  expect_checked<S>(
      good, {{"log_p_x", &S::log_p_x, kShape}, {"log_q", &S::log_q, kShape | kOptional}, {"score", &S::score, kShape}},
      {{"but log_p_z is [5, 1], not [6, 1]", [](S& s) { s.log_p_z.rows = 5; }},
       {"log_q is given but log_p_z is not", [](S& s) { s.log_p_z = {}; }},
       {"the running mean is not given", [](S& s) { s.mean = nullptr; }},
       {"score_norm is not given", [](S& s) { s.baseline = ScoreBaseline::score_norm; }},
       {"but score_norm is [5, 1], not [6, 1]",
        [&](S& s) { s.baseline = ScoreBaseline::score_norm, s.score_norm = view(5, 1); }},
       {"log_p_x is [6, 1] but samples is 4", [](S& s) { s.samples = 4; }},
       {"samples is 0 but the baseline needs at least 1", [](S& s) { s.samples = 0; }},
       {"samples is 1 but the baseline needs at least 2", with_one_sample(ScoreBaseline::leave_one_out)},
       {"samples is 1 but the baseline needs at least 2", with_one_sample(ScoreBaseline::first_sample)},
       {"samples is 1 but the baseline needs at least 2", with_one_sample(ScoreBaseline::score_norm)},
       {"samples is 1 but the baseline needs at least 2", with_one_sample(ScoreBaseline::geometric)}});
  for (const ScoreBaseline of_bound : {ScoreBaseline::geometric, ScoreBaseline::arithmetic}) {
    S bound = good;
    bound.baseline = of_bound;
    expect_checked<S>(bound, {{"log_p_z", &S::log_p_z, kShape}, {"log_q", &S::log_q, kShape}});
  }
}

TEST_P(LossChecks, ScoreWeightsOfANetwork) {
  using S = ScoreWeights;
  for (const ScoreBaseline baseline : {ScoreBaseline::network, ScoreBaseline::network_scaled}) {
    const S good{.baseline = baseline,
                 .log_p_x = view(6, 1),
                 .log_p_z = view(6, 1),
                 .log_q = view(6, 1),
                 .samples = 2,
                 .score = view(6, 1),
                 .mean = memory<RunningMean>(),
                 .variance = memory<RunningMean>(),
                 .network = view(3, 1),
                 .dnetwork = activation(3, 1)};
    expect_checked<S>(good, {{"network", &S::network, kShape}, {"dnetwork", &S::dnetwork, kShape | kOptional}},
                      {{"the running mean is not given", [](S& s) { s.mean = nullptr; }},
                       {"the running variance is not given", [](S& s) { s.variance = nullptr; }}});
  }
}

TEST(EstimatorScores, OnlyScoreFunctionsHaveThem) {
  const auto weigh = [](Estimator e, Index samples) {
    return [=] { score_weights(e, Cost::elbo, {}, {}, {}, samples, {}); };
  };
  expect_error(weigh(Estimator::pathwise, 2), "score_weights: pathwise takes no scores");
  expect_error(weigh(Estimator::dreg, 2), "score_weights: dreg takes no scores");
  expect_error(weigh(Estimator::score_mean, 0), "score_weights: samples is 0 but score-mean needs at least 1");
  expect_error(weigh(Estimator::rloo, 1), "score_weights: samples is 1 but rloo needs at least 2");
  expect_error(weigh(Estimator::vimco, 1), "score_weights: samples is 1 but vimco needs at least 2");
}

TEST_P(LossChecks, Adam) {
  using A = Adam;
  using Kind = LearningRate::Kind;
  const Arena arena{memory<float>(), memory<float>(), memory<float>(), memory<float>(), memory<float>(), 9};
  OptimizerStep step;
  step.ema_decay = 0.5f;
  expect_checked<A>(
      {arena, step, memory<float>(), memory<StepState>(), memory<double>()}, {},
      {{"params is not given", [](A& a) { a.arena.params = nullptr; }},
       {"grads is not given", [](A& a) { a.arena.grads = nullptr; }},
       {"m is not given", [](A& a) { a.arena.m = nullptr; }},
       {"v is not given", [](A& a) { a.arena.v = nullptr; }},
       {"ema is not given but its decay is 0.5", [](A& a) { a.arena.ema = nullptr; }},
       {"the arena has 0 floats", [](A& a) { a.arena.size = 0; }},
       {"the arena has -1 floats", [](A& a) { a.arena.size = -1; }},
       {"every_steps of at least 1", [](A& a) { a.step.learning_rate.kind = Kind::step; }},
       {"has 0 pieces but needs 1 to 16", [](A& a) { a.step.learning_rate.kind = Kind::pieces; }},
       {"has 17 pieces", [](A& a) { a.step.learning_rate.kind = Kind::pieces, a.step.learning_rate.pieces = 17; }},
       {"loss is not given", [](A& a) { a.loss = nullptr; }},
       {"state is not given", [](A& a) { a.state = nullptr; }},
       {"sums is not given", [](A& a) { a.sums = nullptr; }}});
}

TEST_P(LossChecks, Moments) {
  expect_checked<Moments>({view(6, 5), memory<double>()}, {{"x", &Moments::x, kFree}},
                          {{"acc is not given", [](Moments& m) { m.acc = nullptr; }}});
}

TEST_P(LossChecks, DrawData) {
  using D = DrawData;
  for (const LikelihoodTraits& t : kLikelihoods) {
    const bool shared = is_scale_shared(t.likelihood);
    const D good{t.likelihood,    activation(3, 5 * t.outputs), shared ? view(1, 5) : View{}, true, noise(),
                 activation(3, 5)};
    expect_checked<D>(good, {{"outputs", &D::outputs, kShape}, {"x", &D::x, kShape}},
                      {{"step is not given", [](D& d) { d.noise.step = nullptr; }},
                       {"the noise is antithetic", [](D& d) { d.noise.antithetic = true; }},
                       {shared ? "log_scale is [1, 4], not [1, 1] or [1, 5]" : "log_scale is given but a ",
                        [&](D& d) { d.log_scale = view(1, 4); }}});
    if (!shared) continue;
    D without = good;
    without.log_scale = {};
    expect_error("log_scale is not given", without);
  }
}

TEST_P(LossChecks, CountStep) {
  using C = CountStep;
  expect_checked<C>({memory<float>(), 4, memory<double>(), memory<double>(), memory<double>(), memory<double>()}, {},
                    {{"loss is not given", [](C& c) { c.loss = nullptr; }},
                     {"latent is 0 but must be at least 1", [](C& c) { c.latent = 0; }},
                     {"of_step is not given", [](C& c) { c.of_step = nullptr; }},
                     {"sums is not given", [](C& c) { c.sums = nullptr; }},
                     {"step_moments is not given", [](C& c) { c.step_moments = nullptr; }},
                     {"moments is not given", [](C& c) { c.moments = nullptr; }}});
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
