// Ladders: the gradient that one SGD step applies, against central differences in double of the objective at fixed
// noise, and the loss.
#include "chain_gradient.h"

namespace cuvae {
namespace {
using namespace test;

class LadderGradient : public OpTest {
 protected:
  void expect_gradients(const VaeConfig& model, const TrainConfig& training, int steps = 1) {
    test::expect_gradients(backend_, as_ladder(model), training, steps);
  }
};
CUVAE_ON_EVERY_BACKEND(LadderGradient);

TEST_P(LadderGradient, OfTheElboAndTheBound) {
  for (const int layers : {2, 3})
    for (const Estimator e : {Estimator::total, Estimator::stl, Estimator::iwae, Estimator::stl_iwae})
      for (const Index samples : {1, 3}) expect_gradients(with_layers(smooth_model(), layers), plain_sgd(samples, e));
}

TEST_P(LadderGradient, UnderALearnedPrior) {
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const Estimator e : {Estimator::total, Estimator::stl_iwae})
      expect_gradients(with_prior(with_layers(smooth_model(Likelihood::gaussian_learned), 3), prior, 3),
                       plain_sgd(2, e), 2);
}

// beta is 0, then 0.35.
TEST_P(LadderGradient, OfAWeightedKl) {
  for (const Estimator e : {Estimator::total, Estimator::stl}) {
    TrainConfig training = plain_sgd(2, e);
    training.beta = 0.7f, training.kl_warmup_epochs = 2;
    expect_gradients(with_layers(smooth_model(), 3), training, 2);
  }
}

TEST_P(LadderGradient, OfOtherBounds) {
  for (const Objective objective : {Objective::miwae, Objective::ciwae}) {
    TrainConfig training = plain_sgd(2);
    training.objective = objective;
    if (objective == Objective::miwae) training.bounds = 2;
    expect_gradients(with_layers(smooth_model(), 2), training);
  }
}

}  // namespace
}  // namespace cuvae
