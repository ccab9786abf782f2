// Training that must end at a known answer. Thousands of steps: not on the emulator.
#include <cmath>

#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

class KnownModel : public OpTest {};
CUVAE_ON_EVERY_BACKEND(KnownModel);

// p(z) = N(0, 1), p(x|z) = N(w z, 1), q(z|x) = N(a x, exp(v)): trained on data of w = 1.5, it ends at |w| = 1.5, a = w
// / (1 + w^2) and exp(v) = 1 / (1 + w^2). The last 2000 of 6000 steps of 512 examples are averaged; a tenth of the
// values is far above what is left of their noise.
TEST_P(KnownModel, IsWhereWakeSleepEnds) {
  VaeConfig model;
  model.data_dim = model.image_width = 1;
  model.latent = 1;
  model.encoder_hidden = model.decoder_hidden = {};
  model.likelihood = Likelihood::gaussian;
  TrainConfig training;
  training.objective = Objective::wake_sleep;
  training.batch = 512;
  training.binarize = Binarize::none;
  training.schedule.rate = 3e-3;
  Trainer trainer(backend_, model, training, training.batch);
  double w = 0, a = 0, variance = 0;
  constexpr int kSteps = 6000, kLast = 2000;
  const Array<float> batch(backend_, training.batch);
  for (int step = 0; step < kSteps; ++step) {
    std::vector<float> x;
    for (Index i = 0; i < training.batch; ++i)
      x.push_back(static_cast<float>(std::sqrt(1 + 1.5 * 1.5) *
                                     reference::normal({77, Stream::split, static_cast<std::uint32_t>(step)}, i)));
    batch.set(x);
    trainer.step({batch.data(), training.batch, 1});
    if (step < kSteps - kLast) continue;
    const std::vector<float> p = parameters(trainer.vae());
    const auto of = [&](const Mlp& mlp) { return p.data() + mlp.weights()[0].offset; };
    w += double{of(trainer.vae().decoder())[0]} / kLast;
    a += double{of(trainer.vae().encoder())[0]} / kLast;
    variance += std::exp(double{p[trainer.vae().encoder().biases()[0].offset + 1]}) / kLast;
  }
  EXPECT_NEAR(std::fabs(w), 1.5, 0.1);
  EXPECT_NEAR(std::fabs(a), 1.5 / 3.25, 0.04);
  EXPECT_GT(w * a, 0);
  EXPECT_NEAR(variance, 1 / 3.25, 0.03);
}

}  // namespace
}  // namespace cuvae
