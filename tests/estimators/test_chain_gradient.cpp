// Models of several latent layers, and learned priors: the gradient that one SGD step applies, against central
// differences in double of the objective of each estimator, and the loss.
#include "chain_gradient.h"

namespace cuvae {
namespace {
using namespace test;

class ChainGradient : public OpTest {
 protected:
  void expect_gradients(const VaeConfig& model, const TrainConfig& training, int steps = 2) {
    test::expect_gradients(backend_, model, training, steps);
  }
};
CUVAE_ON_EVERY_BACKEND(ChainGradient);

TEST_P(ChainGradient, OfSeveralLayers) {
  for (const int layers : {2, 3})
    for (const Estimator e : {Estimator::total, Estimator::stl, Estimator::iwae, Estimator::stl_iwae})
      for (const Index samples : {1, 3}) expect_gradients(with_layers(smooth_model(), layers), plain_sgd(samples, e));
}

TEST_P(ChainGradient, OfSeveralLayersWithoutTheScore) {
  for (const int layers : {2, 3})
    for (const Estimator e : {Estimator::dreg, Estimator::rws_dreg})
      expect_gradients(with_layers(smooth_model(), layers), plain_sgd(3, e));
}

TEST_P(ChainGradient, OfSeveralLayersByTheScore) {
  for (const Estimator e : {Estimator::score, Estimator::score_mean, Estimator::rloo, Estimator::optimal_shared,
                            Estimator::vimco, Estimator::vimco_arithmetic})
    expect_gradients(with_layers(smooth_model(), 2), plain_sgd(3, e));
  expect_gradients(with_layers(smooth_model(), 3), plain_sgd(3, Estimator::rloo));
}

// Where q is the posterior, log w is the same at all z. So the gradient without the score is 0 in every sample.
TEST_P(ChainGradient, WithoutTheScoreIsZeroAtThePosterior) {
  VaeConfig model = smooth_model(Likelihood::gaussian);
  model.latent = 1, model.encoder_hidden = model.decoder_hidden = {};
  model.above = {{1, {}, {}}};
  // z_2 ~ N(0, 1), z_1 ~ N(z_2, 1), x_d = 0 + noise: the posterior of z_1 is its prior N(0, 2), of z_2 given z_1
  // N(z_1 / 2, 1/2).
  const ParameterLayout layout = parameter_layout(model);
  std::vector<float> arena(static_cast<std::size_t>(layout.size()));
  const auto set = [&](const std::string& name, Index i, float value) {
    for (const Parameter& p : layout.parameters())
      if (p.name == name) arena[static_cast<std::size_t>(p.offset + i)] = value;
  };
  set("encoder.0.bias", 1, std::log(2.0f));
  set("encoder2.0.weight", 0, 0.5f);
  set("encoder2.0.bias", 1, std::log(0.5f));
  set("decoder2.0.weight", 0, 1.0f);
  for (const Estimator e : {Estimator::stl, Estimator::dreg, Estimator::rws_dreg, Estimator::stl_iwae}) {
    const std::vector<float> values = gradient_at(backend_, model, plain_sgd(3, e), arena);
    for (const Parameter& p : layout.parameters())
      for (Index i = 0; p.name.starts_with("encoder") && i < p.size(); ++i)  // roundings of sums of terms of order one
        EXPECT_NEAR(values[static_cast<std::size_t>(p.offset + i)], 0, 40 * 0x1p-24)
            << to_string(e) << ", " << p.name << ' ' << i;
  }
}

TEST_P(ChainGradient, OfSeveralLayersUnderALearnedPrior) {
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const Estimator e : {Estimator::total, Estimator::dreg})
      expect_gradients(with_prior(with_layers(smooth_model(Likelihood::gaussian_learned), 2), prior, 3),
                       plain_sgd(2, e));
}

// beta is 0, then 0.35, then 0.7.
TEST_P(ChainGradient, OfAWeightedKl) {
  for (const Estimator e : {Estimator::total, Estimator::stl}) {
    TrainConfig training = plain_sgd(2, e);
    training.beta = 0.7f, training.kl_warmup_epochs = 2;
    expect_gradients(with_layers(smooth_model(), 3), training, 3);
    for (const Prior prior : {Prior::mixture, Prior::vampprior})
      expect_gradients(with_prior(with_layers(smooth_model(), 1 + (prior == Prior::vampprior)), prior, 3), training, 3);
  }
}

TEST_P(ChainGradient, OfALearnedPrior) {
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const Index components : {1, 4})
      for (const Estimator e :
           {Estimator::total, Estimator::stl, Estimator::score, Estimator::score_mean, Estimator::rloo,
            Estimator::optimal, Estimator::optimal_shared, Estimator::iwae, Estimator::stl_iwae, Estimator::dreg,
            Estimator::rws_dreg, Estimator::vimco, Estimator::vimco_arithmetic})
        expect_gradients(with_prior(smooth_model(), prior, components), plain_sgd(3, e));
  TrainConfig joint = plain_sgd(2, Estimator::rloo, Cost::joint);
  expect_gradients(with_prior(smooth_model(), Prior::mixture, 3), joint);
}

// With one layer and a mixture of one standard normal, the estimates of the KL are those under the standard normal.
TEST_P(ChainGradient, AMixtureOfOneStandardNormalIsTheStandardNormal) {
  for (const Estimator e : {Estimator::total, Estimator::iwae, Estimator::dreg}) {
    const auto gradient = [&](const VaeConfig& model) {
      std::vector<float> start = random_parameters(parameter_layout(smooth_model()));
      const std::size_t shared = start.size();
      start.resize(static_cast<std::size_t>(parameter_layout(model).size()));
      std::vector<float> values = gradient_at(backend_, model, plain_sgd(2, e), start);
      values.resize(shared);
      return values;
    };
    expect_close(gradient(with_prior(smooth_model(), Prior::mixture, 1)), reference::widen(gradient(smooth_model())),
                 100 * 0x1p-24, 100 * 0x1p-24, std::string(to_string(e)));
  }
}

}  // namespace
}  // namespace cuvae
