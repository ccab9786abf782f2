// Trainings that start outside of a clamp: the parameter comes back inside, on every backend.
#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

class Clamps : public OpTest {
 protected:
  /// Trains on rows of ones and zeros with one parameter's values at `start`, and returns the trainer.
  Trainer train_from(const VaeConfig& model, const std::string& name, Index first, Index count, float start) {
    TrainConfig training = small_training();
    training.binarize = Binarize::none;
    training.schedule.rate = 0.1;
    training.beta2 = 0.9f;  // soon forgets the gradients at the upper clamp, where the KL is 1.6e6 nats
    Trainer trainer(backend_, model, training, training.batch);
    std::vector<float> arena = parameters(trainer.vae());
    for (const Parameter& p : trainer.vae().layout().parameters())
      if (p.name == name) std::fill_n(arena.begin() + p.offset + first, count, start);
    backend_.upload(trainer.vae().params(), arena.data(), arena.size() * sizeof(float));
    trainer.vae().refresh_weights();
    for (int step = 0; step < kSteps; ++step) trainer.step(Matrix(backend_, training.batch, 12, pixels_));
    EXPECT_EQ(trainer.state().skipped, 0u);
    return trainer;
  }

  // Adam moves a parameter by at most its rate a step, 0.1, and here at nearly that: 25 from -40 to the clamp.
  static constexpr int kSteps = 400;
  std::vector<float> pixels_ = fractions(small_pixels(5));
};
CUVAE_IN_EVERY_PRECISION(Clamps);

TEST_P(Clamps, ALearnedScaleComesBack) {
  for (const Likelihood likelihood : {Likelihood::gaussian_learned, Likelihood::gaussian_learned_per_dim})
    for (const float start : {5000.0f, 1e-4f}) {
      SCOPED_TRACE(std::string(to_string(likelihood)) + " from " + std::to_string(start));
      VaeConfig model = small_model();
      model.likelihood = likelihood;
      const Index count = likelihood == Likelihood::gaussian_learned ? 1 : model.data_dim;
      Trainer trainer = train_from(model, "log_scale", 0, count, std::log(start));
      const std::vector<float> values = parameters(trainer.vae());
      // The values' own spread is about 0.4; a decoder that follows them leaves less.
      for (Index i = trainer.vae().layout().parameters().back().offset, end = i + count; i < end; ++i) {
        EXPECT_GT(values[i], kLogScaleMin);
        EXPECT_LT(values[i], 0.0f);
      }
    }
}

TEST_P(Clamps, ALogVarianceComesBack) {
  for (const float start : {-40.0f, 40.0f}) {
    SCOPED_TRACE("from " + std::to_string(start));
    const VaeConfig model = small_model();
    Trainer trainer = train_from(model, "encoder.1.bias", model.latent, model.latent, start);
    const std::vector<float> stats = trainer.vae().encode(pixels_);
    for (std::size_t i = 0; i < stats.size(); ++i)
      if (i % 4 >= 2) {
        EXPECT_GT(stats[i], kLogVarMin);
        EXPECT_LT(stats[i], kLogVarMax);
      }
  }
}

}  // namespace
}  // namespace cuvae
