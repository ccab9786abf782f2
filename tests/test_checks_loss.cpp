// The checks that stand before every op: each wrong shape, type or missing array is an Error that names the op, the
// array and the shapes. Here: likelihoods, loss, optimizer, moments, and the backend's name.
#include "check_test.h"

namespace cuvae {
namespace {
using namespace test;

class LossChecks : public CheckTest {};
CUVAE_ON_EVERY_BACKEND(LossChecks);

struct Bernoulli {
  View logits, x, log_p, dlogits;
  void call(Backend& b) const { b.bernoulli_log_prob(logits, x, 1.0f, log_p, dlogits); }
};

TEST_P(LossChecks, BernoulliLogProb) {
  using B = Bernoulli;
  expect_checked<B>("bernoulli_log_prob", {view(6, 5), view(3, 5), view(6, 1), view(6, 5)},
                    {{"logits", &B::logits, kShape},
                     {"x", &B::x, kShape},
                     {"log_p", &B::log_p, kShape},
                     {"gradient", &B::dlogits, kShape | kOptional}});
}

struct Gaussian {
  View mean, x, log_scale, log_p, dmean, dlog_scale;
  void call(Backend& b) const { b.gaussian_log_prob(mean, x, log_scale, 1.0f, log_p, dmean, dlog_scale); }
};

TEST_P(LossChecks, GaussianLogProb) {
  using G = Gaussian;
  for (const Index scales : {1, 5})
    expect_checked<G>("gaussian_log_prob",
                      {view(6, 5), view(3, 5), view(1, scales), view(6, 1), view(6, 5), view(1, scales)},
                      {{"mean", &G::mean, kShape},
                       {"x", &G::x, kShape},
                       {"log_scale", &G::log_scale, kShape},
                       {"log_p", &G::log_p, kShape},
                       {"gradient", &G::dmean, kShape | kOptional},
                       {"dlog_scale", &G::dlog_scale, kShape | kOptional}});
}

struct ElboLoss {
  View log_p, kl, kl_dims;
  KlWeight weight;
  std::uint32_t* step;
  float* loss;
  double* sums;
  void call(Backend& b) const { b.elbo_loss(log_p, kl, kl_dims, weight, step, loss, sums); }
};

TEST_P(LossChecks, ElboLoss) {
  using E = ElboLoss;
  const E good{view(6, 1), view(3, 1), view(1, 4), {}, memory<std::uint32_t>(), memory<float>(), memory<double>()};
  expect_checked<E>("elbo_loss", good,
                    {{"log_p", &E::log_p, kShape}, {"kl", &E::kl, kShape}, {"kl_dims", &E::kl_dims, kRows}},
                    {{"step is not given", [](E& e) { e.step = nullptr; }},
                     {"loss is not given", [](E& e) { e.loss = nullptr; }},
                     {"sums is not given", [](E& e) { e.sums = nullptr; }},
                     {"beta is -1", [](E& e) { e.weight.beta = -1; }}});
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

}  // namespace
}  // namespace cuvae
