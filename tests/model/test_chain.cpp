// Models of several latent layers and learned priors: settings, samples, evaluation, checkpoints. Their gradients are
// in test_chain_gradient.cpp.
#include <atomic>
#include <cmath>

#include "chain_evaluation.h"
#include "cuvae/checkpoint.h"
#include "cuvae/estimator.h"
#include "error_text.h"
#include "gradient_test.h"
#include "stopped_run.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

VaeConfig chain_model(Prior prior = Prior::standard, Index components = 0) {
  VaeConfig m = small_model();
  m.above = {{3, {5}, {4}}};
  m.prior = prior;
  m.prior_components = components;
  return m;
}

class Chain : public OpTest {
 protected:
  /// Sets the parameters whose names begin with `name`: value i is f(i).
  template <class F>
  void set(Vae& vae, const std::string& name, F f) {
    std::vector<float> arena = parameters(vae);
    for (const Parameter& p : vae.layout().parameters())
      if (p.name.rfind(name, 0) == 0)
        for (Index i = 0; i < p.size(); ++i) arena[static_cast<std::size_t>(p.offset + i)] = f(i);
    backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
    vae.refresh_weights();
  }
  /// Mean and variance of a column of rows of `cols`.
  static std::pair<double, double> column(const std::vector<float>& rows, std::size_t cols, std::size_t col) {
    double sum = 0, squares = 0, n = 0;
    for (std::size_t i = col; i < rows.size(); i += cols, ++n) {
      sum += double{rows[i]};
      squares += double{rows[i]} * double{rows[i]};
    }
    return {sum / n, squares / n - sum / n * sum / n};
  }
};
CUVAE_ON_EVERY_BACKEND(Chain);

TEST_P(Chain, SettingsOutOfRangeAreNamed) {
  const auto refused = [&](const VaeConfig& model, const std::string& text) {
    expect_error([&] { Vae(backend_, model, 1); }, "model: " + text);
  };
  refused(chain_model(Prior::standard, 1), "prior_components is 1 but must be 0 with the prior standard");
  refused(chain_model(Prior::mixture, 0), "prior_components is 0 but must be 1 to 65536 with the prior mixture");
  refused(chain_model(Prior::vampprior, 65537), "prior_components is 65537 but must be 1 to 65536");
  VaeConfig model = chain_model();
  model.above[0].latent = 0;
  refused(model, "latent is 0 but must be 1 to 16777216");
  model = chain_model();
  model.above[0].decoder_hidden = {0};
  refused(model, "a hidden width of the decoder is 0");
  model.above.assign(64, {});
  refused(model, "65 latent layers but at most 64 are possible");
}

TEST_P(Chain, EstimatorsThatAreNotDefinedAreNamed) {
  const auto refused = [&](const VaeConfig& model, const TrainConfig& training, const std::string& text) {
    expect_error([&] { Trainer(backend_, model, training, 20); }, "training: " + text);
  };
  VaeConfig mixture = small_model();
  mixture.prior = Prior::mixture, mixture.prior_components = 2;
  for (const Estimator e : all_estimators()) {
    const std::string name(to_string(e));
    TrainConfig training = small_training();
    training.estimator = e, training.samples = 2;
    if (traits(e).closed_form_kl) {
      refused(chain_model(), training,
              "the estimator is " + name + " but there is no KL in closed form with 2 latent layers");
      refused(mixture, training,
              "the estimator is " + name + " but there is no KL in closed form with the prior mixture");
      continue;
    }
    EXPECT_NO_THROW(Trainer(backend_, mixture, training, 20)) << name;
    if (traits(e).one_layer)
      refused(chain_model(), training,
              "the estimator is " + name +
                  ", whose baselines need several samples of each layer, but 2 latent layers have one above");
    else
      EXPECT_NO_THROW(Trainer(backend_, chain_model(), training, 20)) << name;
  }
  TrainConfig training = small_training();
  training.estimator = Estimator::total, training.samples = 2, training.antithetic = true;
  refused(chain_model(), training, "antithetic is true but must be false with 2 latent layers");
  training = small_training();
  training.estimator = Estimator::score, training.cost = Cost::joint;
  refused(chain_model(), training, "cost is joint but must be elbo with 2 latent layers");
  training.cost = Cost::likelihood;
  refused(mixture, training, "the estimator is score but");
}

TEST_P(Chain, ParametersAreNamedByLayer) {
  std::vector<std::string> names;
  const ParameterLayout layout = parameter_layout(chain_model(Prior::vampprior, 7));
  for (const Parameter& p : layout.parameters())
    if (p.name.find("bias") == std::string::npos)
      names.push_back(p.name + " " + std::to_string(p.rows) + "x" + std::to_string(p.cols));
  EXPECT_EQ(names,
            (std::vector<std::string>{"encoder.0.weight 8x12", "encoder.1.weight 4x8", "decoder.0.weight 6x2",
                                      "decoder.1.weight 12x6", "encoder2.0.weight 5x2", "encoder2.1.weight 6x5",
                                      "decoder2.0.weight 4x3", "decoder2.1.weight 4x4", "prior.pseudo_inputs 7x2"}));
}

// A sample row of layer t has the same number whatever the batch is.
TEST_P(Chain, EachLayerHasNoiseOfItsOwn) {
  const Noise noise{.seed = 5, .stream = Stream::latent, .first_row = 7};
  EXPECT_EQ(noise_of_layer(noise, 0, 3).first_row, 7);
  EXPECT_EQ(noise_of_layer(noise, 0, 3).stream, Stream::latent);
  for (const std::size_t t : {1u, 2u}) {
    EXPECT_EQ(noise_of_layer(noise, t, 3).first_row, 21);
    EXPECT_EQ(static_cast<std::uint32_t>(noise_of_layer(noise, t, 3).stream), 255 + t);
  }
}

// Statistics of n samples are off by less than five standard deviations: of a mean sqrt(var / n), of a variance of a
// normal sqrt(2 / n) var, of a mixture at most sqrt(3 / n) times the squared range.
TEST_P(Chain, SamplesOfAMixtureHaveItsMoments) {
  constexpr Index kRows = 40000;
  VaeConfig model = small_model();
  model.prior = Prior::mixture, model.prior_components = 2;
  Vae vae(backend_, model, 1);
  // Weights 0.25 and 0.75; means (-1, 2) and (3, 2), standard deviations 0.5 and (0.5, 1).
  const float components[] = {-1, 2, 2 * std::log(0.5f), 2 * std::log(0.5f), 3, 2, 2 * std::log(0.5f), 0};
  set(vae, "prior.components", [&](Index i) { return components[i]; });
  set(vae, "prior.logits", [](Index i) { return i == 0 ? 0.0f : std::log(3.0f); });
  const std::vector<float> z = vae.sample_prior(kRows, 9);
  ASSERT_EQ(z.size(), 2u * kRows);
  const auto [mean, variance] = column(z, 2, 0);
  EXPECT_NEAR(mean, 2, 5 * std::sqrt(3.25 / kRows));
  EXPECT_NEAR(variance, 3.25, 5 * std::sqrt(3.0 / kRows) * 16);  // 0.25 + 16 * 0.25 * 0.75
  const auto [mean2, variance2] = column(z, 2, 1);
  EXPECT_NEAR(mean2, 2, 5 * std::sqrt(0.8125 / kRows));
  EXPECT_NEAR(variance2, 0.8125, 5 * std::sqrt(3.0 / kRows) * 1);
}

// A second layer whose decoder has weights zero: z_1 is N(bias, exp(bias)).
TEST_P(Chain, SamplesGoThroughTheDecoders) {
  constexpr Index kRows = 40000;
  Vae vae(backend_, chain_model(), 1);
  set(vae, "decoder2.1.weight", [](Index) { return 0.0f; });
  set(vae, "decoder2.1.bias", [](Index i) { return i < 2 ? 1.5f : 2 * std::log(0.25f); });
  const std::vector<float> z = vae.sample_prior(kRows, 9);
  ASSERT_EQ(z.size(), 2u * kRows);
  for (const std::size_t col : {0u, 1u}) {
    const auto [mean, variance] = column(z, 2, col);
    EXPECT_NEAR(mean, 1.5, 5 * 0.25 / std::sqrt(kRows));
    EXPECT_NEAR(variance, 0.0625, 5 * std::sqrt(2.0 / kRows) * 0.0625);
  }
  EXPECT_TRUE(z == vae.sample_prior(kRows, 9)) << "the same seed";
  EXPECT_FALSE(z == vae.sample_prior(kRows, 10)) << "another seed";
}

// Pseudo-inputs are encoded: with an encoder of weights zero, every component is N(bias, exp(bias)).
TEST_P(Chain, SamplesOfAVampPriorAreOfItsPosteriors) {
  constexpr Index kRows = 40000;
  VaeConfig model = small_model();
  model.prior = Prior::vampprior, model.prior_components = 3;
  Vae vae(backend_, model, 1);
  for (const float input : parameters(vae)) ASSERT_TRUE(std::isfinite(input));
  set(vae, "encoder.1.weight", [](Index) { return 0.0f; });
  set(vae, "encoder.1.bias", [](Index i) { return i < 2 ? -0.5f : 2 * std::log(2.0f); });
  const std::vector<float> z = vae.sample_prior(kRows, 9);
  for (const std::size_t col : {0u, 1u}) {
    const auto [mean, variance] = column(z, 2, col);
    EXPECT_NEAR(mean, -0.5, 5 * 2 / std::sqrt(kRows));
    EXPECT_NEAR(variance, 4, 5 * std::sqrt(2.0 / kRows) * 4);
  }
}

TEST_P(Chain, AStandardNormalIsSampledAsItIs) {
  const Vae vae(backend_, small_model(), 1);
  const std::vector<float> z = vae.sample_prior(20000, 3);
  for (const std::size_t col : {0u, 1u}) {
    const auto [mean, variance] = column(z, 2, col);
    EXPECT_NEAR(mean, 0, 5 / std::sqrt(20000.0));
    EXPECT_NEAR(variance, 1, 5 * std::sqrt(2.0 / 20000));
  }
}

TEST_P(Chain, EvaluationMatchesTheReference) {
  for (const VaeConfig& model : {chain_model(), chain_model(Prior::mixture, 3), chain_model(Prior::vampprior, 2)})
    for (const Index samples : {1, 4}) expect_evaluation_of(backend_, model, samples);
}

// A run that is stopped after an epoch and resumed ends with the bytes of one that is not.
TEST_P(Chain, ACheckpointKeepsLayersAndPriors) {
  for (const VaeConfig& model : {chain_model(), chain_model(Prior::mixture, 3), chain_model(Prior::vampprior, 2)}) {
    SCOPED_TRACE(std::string(to_string(model.prior)));
    TrainConfig training = small_training();
    training.estimator = Estimator::iwae, training.samples = 3;
    training.epochs = 2;
    EXPECT_TRUE(trained(backend_, model, training, never) == trained(backend_, model, training, [](std::uint64_t step) {
                  return step == kSmallRows / 5;  // the end of the first epoch
                }));
  }
}

}  // namespace
}  // namespace cuvae
