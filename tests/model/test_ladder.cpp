// Ladders: settings, posteriors, evaluation against a model whose log p(x) is known, checkpoints, groups. Their
// gradients are in test_ladder_gradient.cpp.
#include <cmath>

#include "chain_evaluation.h"
#include "chain_gradient.h"
#include "cuvae/checkpoint.h"
#include "error_text.h"
#include "stopped_run.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

VaeConfig ladder_model() {
  VaeConfig m = small_model();
  m.above = {{3, {5}, {4}}, {2, {}, {3}}};
  return as_ladder(m);
}

class Ladder : public OpTest {
 protected:
  /// Sets parameters by their names; the others are 0.
  void set(Vae& vae, const std::vector<std::pair<std::string, std::vector<float>>>& values) {
    std::vector<float> arena(static_cast<std::size_t>(vae.layout().size()));
    for (const auto& [name, of_name] : values)
      for (const Parameter& p : vae.layout().parameters())
        if (p.name == name) std::copy(of_name.begin(), of_name.end(), arena.begin() + p.offset);
    backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
    vae.refresh_weights();
  }
};
CUVAE_ON_EVERY_BACKEND(Ladder);

TEST_P(Ladder, WhatIsNotDefinedIsNamed) {
  VaeConfig model = as_ladder(small_model());
  expect_error([&] { model.validate(); }, "model: ladder is true but must be false with one latent layer");
  model = ladder_model();
  model.latent_kind = LatentKind::bernoulli;
  expect_error([&] { model.validate(); }, "model: ladder is true but must be false with Bernoulli latents");
  const std::string apart =
      ", which trains the two networks apart, but a ladder's decoders belong to both: use elbo, iwae, miwae or ciwae";
  for (const Objective objective : {Objective::piwae, Objective::wake_sleep, Objective::rws}) {
    TrainConfig training = small_training();
    training.objective = objective;
    expect_error([&] { validate(ladder_model(), training); },
                 "training: the objective is " + std::string(to_string(objective)) + apart);
  }
  for (const Estimator e : {Estimator::pathwise, Estimator::dreg, Estimator::score, Estimator::vimco}) {
    TrainConfig training = small_training();
    training.estimator = e, training.samples = 2;
    expect_error(
        [&] { validate(ladder_model(), training); },
        "training: the estimator is " + std::string(to_string(e)) + " but a ladder needs total, stl, iwae or stl-iwae");
  }
  TrainConfig training = small_training();
  training.estimator = Estimator::wake_phi;
  expect_error([&] { validate(ladder_model(), training); }, "training: the objective is rws" + apart);
  const Vae vae(backend_, ladder_model(), 1);
  const VaeActivations a = vae.allocate(2, 1, {.model_draws = true});
  expect_error([&] { vae.draws_backward(Matrix(backend_, 2, 12), 1.0f, nullptr, a, vae.allocate_gradients(2, 1)); },
               "draws_backward: the model is a ladder");
}

TEST_P(Ladder, EachLayerHasNoiseOfItsOwn) {
  const Noise noise{.seed = 5, .stream = Stream::latent, .first_row = 7};
  for (const std::size_t t : {0u, 1u, 2u}) {
    EXPECT_EQ(noise_of_layer(noise, t, 3, 2).first_row, t == 2 ? 7 : 21);
    EXPECT_EQ(noise_of_layer(noise, t, 3, 2).stream, noise_of_layer(noise, t, 3).stream);
  }
}

TEST_P(Ladder, EvaluationMatchesTheReference) {
  for (const Prior prior : {Prior::standard, Prior::vampprior})
    for (const Index samples : {1, 3})
      expect_evaluation_of(backend_, with_prior(ladder_model(), prior, prior == Prior::standard ? 0 : 2), samples);
}

// mu | logvar of q(z_1|z_2, x), each of order one and good to 1e-6.
TEST_P(Ladder, EncodeIsThePosteriorAtTheMeans) {
  const VaeConfig model = ladder_model();
  const Vae vae(backend_, model, 2);
  const std::vector<float> x = fractions(small_pixels());
  const Vector want =
      reference::Chain(model).posterior_at_means(reference::widen(parameters(vae)), reference::widen(x));
  expect_close(vae.encode(x), want, 2e-6, 2e-6, "stats");
}

// x = w z_1 + s e, z_1 = v z_2 + u e, z_2 = e, two of each. The encoders can be linear: encoder 1 gives p(x|z_1) as a
// Gaussian of z_1, and encoder 2 the posterior of z_2. Then every sample's log w is log p(x), with x ~ N(0, (w v)^2 +
// (w u)^2 + s^2).
TEST_P(Ladder, WithTheTruePosteriorsEverySampleGivesLogP) {
  VaeConfig model;
  model.data_dim = model.latent = model.image_width = 2;
  model.encoder_hidden = model.decoder_hidden = {};
  model.above = {{2, {}, {}}};
  model.likelihood = Likelihood::gaussian;
  model.scale = 0.5f;
  const double w = 0.8, v = 1.5, u = 0.6, s = 0.5;
  Vae vae(backend_, as_ladder(model), 1);
  const auto f = [](double x) { return static_cast<float>(x); };
  const double of_b = s * s / (w * w), rest = u * u + of_b;  // mu_b = x / w ~ N(v z_2, rest)
  const float m = f(v / (v * v + rest)), log_b = f(std::log(of_b)), log_u = f(2 * std::log(u)),
              log_top = f(std::log(rest / (v * v + rest)));
  set(vae, {{"encoder.0.weight", {f(1 / w), 0, 0, f(1 / w), 0, 0, 0, 0}},
            {"encoder.0.bias", {0, 0, log_b, log_b}},
            {"encoder2.0.weight", {m, 0, 0, m, 0, 0, 0, 0}},
            {"encoder2.0.bias", {0, 0, log_top, log_top}},
            {"decoder.0.weight", {f(w), 0, 0, f(w)}},
            {"decoder2.0.weight", {f(v), 0, 0, f(v), 0, 0, 0, 0}},
            {"decoder2.0.bias", {0, 0, log_u, log_u}}});
  const std::vector<float> x = {0.3f, -1.2f, 2, 0.1f, -0.7f, 0.9f};
  const Dataset data = Dataset::from_memory(x, 3, 2);
  const Evaluation e = evaluate(vae, data, {.samples = 4, .binarize = Binarize::none});
  const double variance = w * w * (v * v + u * u) + s * s;
  for (std::size_t b = 0; b < 3; ++b) {
    double log_p = 0;
    for (const std::size_t d : {2 * b, 2 * b + 1})
      log_p -= (double{x[d]} * double{x[d]} / variance + std::log(2 * std::acos(-1.0) * variance)) / 2;
    EXPECT_NEAR(e.elbos[b], log_p, 1e-5);  // ten densities of order one, each good to 1e-6
  }
}

// At the largest variance that a log variance can say, what an encoder says of its layer has a share of e^-15.
TEST_P(Ladder, WithoutEvidenceALayersPosteriorIsItsPrior) {
  VaeConfig model = ladder_model();
  model.above.pop_back();
  Vae vae(backend_, model, 3);
  std::vector<float> arena = parameters(vae);
  for (const Parameter& p : vae.layout().parameters()) {
    if (p.name == "encoder.1.weight") std::fill_n(arena.begin() + p.offset, p.size(), 0.0f);
    if (p.name == "encoder.1.bias") std::fill_n(arena.begin() + p.offset + 2, 2, 15.0f);
  }
  backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
  vae.refresh_weights();
  const Evaluation e = evaluate(vae, small_data(), {.samples = 2, .batch = 33, .binarize = Binarize::none, .seed = 4});
  const reference::Chain chain(model);
  const auto s = chain.sample(reference::widen(arena), reference::widen(fractions(small_pixels())), 2,
                              {4, Stream::latent, 0xffffffff});
  Vector top;  // log q(z_2|x) - log p(z_2)
  const Vector standard(s.z[1].size() * 2);
  for (std::size_t r = 0; r < s.z[1].size() / 3; ++r) {
    double sum = 0;
    for (std::size_t l = 0; l < 3; ++l) {
      const double z = s.z[1][3 * r + l], mu = s.stats[1][r / 2 * 6 + l], v = s.stats[1][r / 2 * 6 + 3 + l];
      sum += (z * z - (z - mu) * (z - mu) / std::exp(v) - v) / 2;
    }
    top.push_back(sum);
  }
  EXPECT_NEAR(e.kl, mean_of(top), 1e-5);
}

TEST_P(Ladder, ACheckpointKeepsIt) {
  for (const Estimator e : {Estimator::total, Estimator::iwae}) {
    TrainConfig training = small_training();
    training.estimator = e, training.samples = 2;
    if (e == Estimator::total) training.beta = 0.7f, training.kl_warmup_epochs = 1.5;
    const std::string whole = trained(backend_, ladder_model(), training, never);
    EXPECT_TRUE(whole == trained(backend_, ladder_model(), training, never)) << "again";
    for (const std::uint64_t at : {1, 9, 17})
      EXPECT_TRUE(whole == trained(backend_, ladder_model(), training, [at](std::uint64_t n) { return n == at; }))
          << at;
  }
  const TempDir folder;
  Trainer(
      backend_, ladder_model(),
      [] {
        TrainConfig t = small_training();
        t.estimator = Estimator::total;
        return t;
      }(),
      20)
      .save(folder / "a");
  EXPECT_TRUE(read_checkpoint_info(folder / "a").model == ladder_model());
}

}  // namespace
}  // namespace cuvae
