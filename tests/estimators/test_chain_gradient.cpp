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

TEST_P(ChainGradient, OfSeveralLayersUnderALearnedPrior) {
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const Estimator e : {Estimator::total, Estimator::stl_iwae})
      expect_gradients(with_prior(with_layers(smooth_model(Likelihood::gaussian_learned), 2), prior, 3),
                       plain_sgd(2, e));
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
      Trainer trainer(backend_, model, plain_sgd(2, e), kBatch);
      std::vector<float> start(static_cast<std::size_t>(trainer.vae().layout().size()));
      const std::vector<float> first = random_parameters(parameter_layout(smooth_model()));
      std::copy(first.begin(), first.end(), start.begin());
      set_parameters(trainer, start);
      const ConstView g = trainer.gradient(Matrix(backend_, kBatch, kDim, random_pixels(0)));
      std::vector<float> values(static_cast<std::size_t>(g.size()));
      backend_.synchronize();
      backend_.download(values.data(), g.data, values.size() * sizeof(float));
      values.resize(first.size());
      return values;
    };
    expect_close(gradient(with_prior(smooth_model(), Prior::mixture, 1)), reference::widen(gradient(smooth_model())),
                 100 * 0x1p-24, 100 * 0x1p-24, std::string(to_string(e)));
  }
}

}  // namespace
}  // namespace cuvae
