// Wake-sleep: the gradient of its two phases against central differences, and what it does not go with. Its fixed point
// is in test_known_model.cpp.
#include <atomic>
#include <cmath>

#include "chain_gradient.h"
#include "error_text.h"
#include "stopped_run.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

TrainConfig wake_sleep(Index samples = 1) {
  TrainConfig t = plain_sgd(samples);
  t.objective = Objective::wake_sleep;
  return t;
}

class WakeSleep : public OpTest {
 protected:
  void expect_gradients(const VaeConfig& model, const TrainConfig& training) {
    SCOPED_TRACE(std::string(to_string(model.likelihood)) + ", " + std::to_string(model.above.size() + 1) +
                 " layers, K " + std::to_string(training.samples));
    Trainer trainer(backend_, model, training, kBatch);
    set_parameters(trainer, random_parameters(trainer.vae().layout()));
    for (std::uint32_t step = 0; step < 2; ++step) {
      const std::vector<float> pixels = random_pixels(step);
      const Vector x = reference::widen(pixels), before = reference::widen(parameters(trainer.vae()));
      const reference::Chain chain(model);
      const Index K = training.samples;
      const auto fixed = chain.sample(before, x, K, {training.seed, Stream::latent, step});
      const Draws asleep = draws(model, chain, before, training.seed, step);
      // Awake, the generative network explains x and z of the data; asleep, the inference network explains z by x.
      const auto objective = [&](const Vector& at) {
        double sum = 0;
        const Vector log_p = chain.log_prob(at, fixed.z[0], x, K), log_p_z = chain.log_p_z(at, fixed.z);
        for (std::size_t r = 0; r < log_p.size(); ++r)
          sum -= (log_p[r] + log_p_z[r]) / static_cast<double>(log_p.size());
        return sum + sleep_loss(chain, at, asleep);
      };
      trainer.step(Matrix(backend_, kBatch, kDim, pixels));
      const Vector after = reference::widen(parameters(trainer.vae()));
      expect_applied(objective, before, after, 4);
    }
  }
};
CUVAE_ON_EVERY_BACKEND(WakeSleep);

TEST_P(WakeSleep, HasTheGradientsOfItsPhases) {
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian})
    for (const Index samples : {1, 3}) {
      VaeConfig model = smooth_model(likelihood);
      expect_gradients(model, wake_sleep(samples));
      model.above = {{2, {4}, {3}}};
      expect_gradients(model, wake_sleep(samples));
    }
}

TEST_P(WakeSleep, AStoppedRunEndsTheSame) {
  TrainConfig training = small_training();
  training.objective = Objective::wake_sleep;
  const auto in_the_second_epoch = [](std::uint64_t step) { return step == 11; };
  EXPECT_TRUE(trained(backend_, small_model(), training, never) ==
              trained(backend_, small_model(), training, in_the_second_epoch));
}

TEST_P(WakeSleep, SettingsWithoutEffectAreRefused) {
  const auto refused = [&](const char* text, const auto& change) {
    TrainConfig training = wake_sleep(2);
    VaeConfig model = smooth_model();
    change(model, training);
    expect_error([&] { Trainer(backend_, model, training, kBatch); }, std::string("training: ") + text);
  };
  refused("estimator is rloo but must be pathwise for wake-sleep",
          [](VaeConfig&, TrainConfig& t) { t.estimator = Estimator::rloo; });
  refused("beta is 2 but must be 1", [](VaeConfig&, TrainConfig& t) { t.beta = 2; });
  refused("kl_warmup_epochs is 1 but must be 0", [](VaeConfig&, TrainConfig& t) { t.kl_warmup_epochs = 1; });
  refused("free_bits is 0.5 but must be 0", [](VaeConfig&, TrainConfig& t) { t.free_bits = 0.5f; });
  refused("the objective is wake-sleep, which draws from a standard normal, but the prior is mixture",
          [](VaeConfig& m, TrainConfig&) { m.prior = Prior::mixture, m.prior_components = 2; });
}

}  // namespace
}  // namespace cuvae
