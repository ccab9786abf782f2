// Sigmoid belief networks: exact sums over all latents, evaluation and samples against them, settings, checkpoints.
// Their gradients are in test_belief_gradient.cpp.
#include <atomic>
#include <cmath>

#include "cuvae/checkpoint.h"
#include "cuvae/estimator.h"
#include "cuvae/evaluate.h"
#include "error_text.h"
#include "gradient_test.h"
#include "reference_belief.h"
#include "stopped_run.h"

namespace cuvae {
namespace {
using namespace test;
using reference::BeliefNetwork;
using reference::Vector;

VaeConfig belief_network(std::vector<LayerConfig> above = {{2, {4}, {3}}}) {
  VaeConfig m = smooth_model();
  m.above = std::move(above);
  m.latent_kind = LatentKind::bernoulli;
  return m;
}

class Belief : public OpTest {};
CUVAE_ON_EVERY_BACKEND(Belief);
class BeliefInEveryPrecision : public OpTest {};
CUVAE_IN_EVERY_PRECISION(BeliefInEveryPrecision);

Vector random_arena(const VaeConfig& model) { return reference::widen(random_parameters(parameter_layout(model))); }
Vector binary_x(Index number) {
  Vector x;
  for (Index d = 0; d < kDim; ++d) x.push_back(static_cast<double>(number >> d & 1));
  return x;
}

// The oracle itself: probabilities sum to one, no bound is above log p(x), and the bounds grow with K.
TEST(BeliefOracle, SumsToOneAndIsAboveItsBounds) {
  for (const VaeConfig& model : {belief_network({}), belief_network(), belief_network({{4, {}, {3}}, {5, {}, {}}})}) {
    const BeliefNetwork net(model);
    const Vector arena = random_arena(model);
    double sum = 0;
    for (Index x = 0; x < 1 << kDim; ++x) sum += std::exp(net.log_likelihood(arena, binary_x(x)));
    EXPECT_NEAR(sum, 1, 1e-12);
  }
  const VaeConfig model = belief_network({});
  const BeliefNetwork net(model);
  const Vector arena = random_arena(model), x = binary_x(37);
  double before = -INFINITY;
  for (const Index samples : {1, 2, 4}) {
    const double bound = net.bound(arena, x, samples);
    EXPECT_GT(bound, before);
    before = bound;
  }
  EXPECT_LT(before, net.log_likelihood(arena, x));
}

// The mean of K estimates log w of the exact ELBO has the standard error sqrt(Var log w / K), also exact.
TEST_P(Belief, EvaluationHasTheExactElbo) {
  for (const VaeConfig& model : {belief_network({}), belief_network(), belief_network({{4, {}, {3}}, {3, {}, {}}})}) {
    const Vector arena = random_arena(model), x = binary_x(90);
    Vae vae(backend_, model, 1);
    const std::vector<float> start(arena.begin(), arena.end()), row(x.begin(), x.end());
    backend_.upload(vae.params(), start.data(), start.size() * sizeof(float));
    vae.refresh_weights();
    const BeliefNetwork net(model);
    const BeliefNetwork::Joint all = net.joint(arena, x);
    const double elbo = net.bound(arena, x, 1);
    double variance = 0;
    for (std::size_t i = 0; i < all.log_p.size(); ++i)
      variance += std::exp(all.log_q[i]) * std::pow(all.log_p[i] - all.log_q[i] - elbo, 2);
    constexpr Index kSamples = 20000;
    const Evaluation got =
        evaluate(vae, Dataset::from_memory(row, 1, kDim), {.samples = kSamples, .batch = 1, .seed = 4});
    EXPECT_NEAR(got.elbo, elbo, 5 * std::sqrt(variance / kSamples) + 1e-5);
    EXPECT_TRUE(got.kl_dims.empty());
  }
}

// Frequencies of x_1's marginal and of each unit of z_1, by enumeration, to five standard errors.
TEST_P(Belief, SamplesHaveTheExactMarginals) {
  constexpr Index kRows = 40000;
  for (const VaeConfig& model : {belief_network({}), belief_network(), belief_network({{4, {}, {3}}, {3, {}, {}}})}) {
    const Vector arena = random_arena(model);
    Vae vae(backend_, model, 1);
    const std::vector<float> start(arena.begin(), arena.end());
    backend_.upload(vae.params(), start.data(), start.size() * sizeof(float));
    vae.refresh_weights();
    const BeliefNetwork net(model);
    const std::vector<Vector> z = net.all_z();
    const Vector log_p = net.log_p_z(arena, z);
    const std::vector<float> got = vae.sample_prior(kRows, 9);
    ASSERT_EQ(got.size(), static_cast<std::size_t>(kRows * kLatent));
    for (Index l = 0; l < kLatent; ++l) {
      double want = 0, mean = 0;
      for (std::size_t i = 0; i < log_p.size(); ++i) want += std::exp(log_p[i]) * z[0][i * kLatent + l];
      for (Index r = 0; r < kRows; ++r) mean += double{got[r * kLatent + l]} / kRows;
      EXPECT_NEAR(mean, want, 5 * std::sqrt(want * (1 - want) / kRows)) << l;
    }
    EXPECT_TRUE(got == vae.sample_prior(kRows, 9)) << "the same seed";
    EXPECT_FALSE(got == vae.sample_prior(kRows, 10)) << "another seed";
    expect_error([&] { (void)vae.sample_prior(1, 9, 0.5f); }, "sample_prior: temperature is 0.5 but must be 1");
  }
}

// Logits far from 0 leave one value of each unit; as bf16 too, the prior's logits stay float32.
TEST_P(BeliefInEveryPrecision, DrawsFollowThePriorsLogits) {
  VaeConfig model = belief_network({});
  Vae vae(backend_, model, 1);
  const Index at = vae.networks().logits->offset;
  const float logits[] = {60, -60, 0};
  backend_.upload(vae.params() + at, logits, sizeof logits);
  vae.refresh_weights();
  constexpr Index kRows = 64;
  const VaeActivations a = vae.allocate(kRows, 1, {.model_draws = true});
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{3});
  const Matrix x(backend_, kRows, kDim, type_), z(backend_, kRows, kLatent, type_);
  vae.draw({.seed = 5, .stream = Stream::sleep_latent, .step = step.data(), .first_row = 8}, x, a);
  std::vector<float> values(static_cast<std::size_t>(kRows * kLatent));
  backend_.synchronize();
  std::vector<std::uint16_t> halves(values.size());
  if (type_ == DType::f32) {
    backend_.download(values.data(), a.layers[0].z.data(), values.size() * sizeof(float));
  } else {
    backend_.download(halves.data(), a.layers[0].z.data(), halves.size() * sizeof halves[0]);
    std::transform(halves.begin(), halves.end(), values.begin(), from_bf16);
  }
  for (Index r = 0; r < kRows; ++r) {
    EXPECT_EQ(values[r * kLatent], 1);
    EXPECT_EQ(values[r * kLatent + 1], 0);
    const double u = reference::uniform({5, Stream::sleep_latent, 3}, (8 + r) * kLatent + 2);
    EXPECT_EQ(values[r * kLatent + 2], u <= 0.5 ? 1 : 0) << "u is " << u;
  }
  for (const float pixel : x.get()) EXPECT_TRUE(pixel == 0 || pixel == 1);
}

// Two opposite pictures, as many of each. All pixels are 1 in half of them, so that a model without latents has log
// p(x) = -D log 2 at best.
TEST_P(BeliefInEveryPrecision, LearnsWhatNoModelWithoutLatentsCan) {
  constexpr Index kRows = 20;
  Vector x;
  for (Index row = 0; row < kRows; ++row)
    for (Index d = 0; d < kDim; ++d) x.push_back(static_cast<double>((row + d) % 2));
  const Dataset data = Dataset::from_memory(std::vector<float>(x.begin(), x.end()), kRows, kDim);
  for (const Objective objective : {Objective::variational, Objective::wake_sleep}) {
    const VaeConfig model = belief_network();
    TrainConfig training = small_training();
    training.batch = 10, training.epochs = 150, training.samples = 4;
    training.schedule.rate = 0.05;
    training.objective = objective;
    training.estimator = objective == Objective::variational ? Estimator::rloo : Estimator::pathwise;
    Trainer trainer(backend_, model, training, data);
    EXPECT_EQ(trainer.fit(data), Outcome::finished);
    const Vector arena = reference::widen(parameters(trainer.vae()));
    const BeliefNetwork net(model);
    const double log_p = (net.log_likelihood(arena, {x.begin(), x.begin() + kDim}) +
                          net.log_likelihood(arena, {x.begin() + kDim, x.begin() + 2 * kDim})) /
                         2;
    EXPECT_GT(log_p, -static_cast<double>(kDim) * std::log(2)) << to_string(objective);
  }
}

TEST_P(Belief, EncodesToProbabilitiesAndLogits) {
  const VaeConfig model = belief_network({});
  Vae vae(backend_, model, 1);
  const Vector arena = random_arena(model), x = binary_x(90);
  const std::vector<float> start(arena.begin(), arena.end());
  backend_.upload(vae.params(), start.data(), start.size() * sizeof(float));
  Vector want;
  const Vector logits = BeliefNetwork(model).encode(arena, 0, x);
  for (const double logit : logits) want.push_back(1 / (1 + std::exp(-logit)));
  want.insert(want.end(), logits.begin(), logits.end());
  expect_close(vae.encode(std::vector<float>(x.begin(), x.end())), want, 2e-6, 2e-6, "stats");
}

TEST_P(Belief, ParametersAreNamedByLayer) {
  std::vector<std::string> names;
  const ParameterLayout layout = parameter_layout(belief_network());
  for (const Parameter& p : layout.parameters())
    if (p.name.find("bias") == std::string::npos)
      names.push_back(p.name + " " + std::to_string(p.rows) + "x" + std::to_string(p.cols));
  EXPECT_EQ(names, (std::vector<std::string>{"encoder.0.weight 5x7", "encoder.1.weight 3x5", "decoder.0.weight 5x3",
                                             "decoder.1.weight 7x5", "encoder2.0.weight 4x3", "encoder2.1.weight 2x4",
                                             "decoder2.0.weight 3x2", "decoder2.1.weight 3x3", "prior.logits 1x2"}));
}

TEST_P(Belief, SettingsThatDoNotGoTogetherAreNamed) {
  VaeConfig mixture = belief_network({});
  mixture.prior = Prior::mixture, mixture.prior_components = 2;
  expect_error([&] { Vae(backend_, mixture, 1); },
               "model: the prior is mixture but must be standard with Bernoulli latents");
  const auto refused = [&](const VaeConfig& model, const TrainConfig& training, const std::string& text) {
    expect_error([&] { Trainer(backend_, model, training, kBatch); }, "training: " + text);
  };
  for (const Estimator e : all_estimators()) {
    const std::string name(to_string(e));
    if (uses_path(e) || uses_probes(e)) {
      refused(belief_network({}), plain_sgd(2, e),
              "the estimator is " + name + " but Bernoulli latents need a score function: score, score-mean, rloo");
      refused(belief_network(), plain_sgd(2, e), "the estimator is " + name + " but several layers of Bernoulli");
      continue;
    }
    EXPECT_NO_THROW(Trainer(backend_, belief_network({}), plain_sgd(2, e), kBatch)) << name;
    if (e != Estimator::optimal)
      EXPECT_NO_THROW(Trainer(backend_, belief_network(), plain_sgd(2, e), kBatch)) << name;
    else
      refused(belief_network(), plain_sgd(2, e), "the estimator is optimal, whose baselines need several samples");
  }
  refused(belief_network({}), plain_sgd(2, Estimator::rloo, Cost::joint), "cost is joint but must be elbo");
  TrainConfig pairs = plain_sgd(2, Estimator::score);
  pairs.antithetic = true;
  EXPECT_NO_THROW(Trainer(backend_, belief_network({}), pairs, kBatch));
  refused(belief_network(), pairs, "antithetic is true but must be false with 2 latent layers");
  Trainer trainer(backend_, belief_network({}), plain_sgd(2, Estimator::rloo), kBatch);
  const Vae& vae = trainer.vae();
  const VaeActivations a = vae.allocate(kBatch, 2);
  expect_error([&] { vae.prior_backward(0, 2, 1.0f, nullptr, a, vae.allocate_gradients(kBatch, 2), true); },
               "prior_backward: no gradient passes through samples of Bernoulli latents");
}

// A run that is stopped and resumed ends with the bytes of one that is not.
TEST_P(Belief, AStoppedRunEndsTheSame) {
  VaeConfig model = small_model();
  model.above = {{3, {5}, {4}}}, model.latent_kind = LatentKind::bernoulli;
  for (const Estimator e : {Estimator::rloo, Estimator::nvil, Estimator::vimco, Estimator::pathwise}) {
    TrainConfig training = small_training();
    training.estimator = e, training.samples = 2;
    if (e == Estimator::pathwise) training.objective = Objective::wake_sleep;
    const auto in_the_second_epoch = [](std::uint64_t step) { return step == 11; };
    EXPECT_TRUE(trained(backend_, model, training, never) == trained(backend_, model, training, in_the_second_epoch))
        << to_string(e);
  }
}

}  // namespace
}  // namespace cuvae
