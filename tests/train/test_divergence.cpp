// How runs end if their steps are not finite, and which batches step() refuses.
#include <cmath>
#include <limits>

#include "cuvae/checkpoint.h"
#include "error_text.h"
#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class Divergence : public OpTest {};
CUVAE_ON_EVERY_BACKEND(Divergence);

TEST_P(Divergence, ARunThatDivergesEndsAndLeavesAGoodCheckpoint) {
  const TempDir folder;
  VaeConfig model = small_model();
  model.likelihood = Likelihood::gaussian;
  TrainConfig config = small_training();
  config.epochs = 100;
  config.optimizer = Optimizer::sgd;
  config.schedule.rate = 1e8;
  for (const Index most : {3, 20}) {  // less and more than the eight steps of an epoch
    config.max_skipped = most;
    Trainer trainer(backend_, model, config, kSmallRows);
    expect_error([&] { trainer.fit(small_data(), {folder.path(), {}, nullptr}); }, "fit: diverged: ");
    EXPECT_EQ(trainer.state().skipped_in_a_row, most);
    EXPECT_EQ(trainer.state().step, trainer.state().updates + trainer.state().skipped);
    const CheckpointInfo info = read_checkpoint_info(folder / "last.safetensors");
    EXPECT_EQ(info.state.skipped_in_a_row, 0u);
    for (const float p : parameters(load_vae(backend_, folder / "last.safetensors"))) EXPECT_TRUE(std::isfinite(p));
    EXPECT_NO_THROW(Trainer::resume(backend_, folder / "last.safetensors"));
  }
}

// Values whose squares are beyond float32.
TEST_P(Divergence, ARunEndsAfterExactlyMaxSkippedStepsHoweverOftenItReports) {
  std::vector<float> values(kSmallRows * 12, 1e30f);
  values[0] = 2e30f;
  const Dataset data = Dataset::from_memory(values, kSmallRows, 12);
  VaeConfig model = small_model();
  model.likelihood = Likelihood::gaussian;
  TrainConfig config = small_training();
  config.binarize = Binarize::none;
  config.epochs = 100;
  for (const Index every : {0, 1, 3, 100})
    for (const Index most : {1, 5, 8, 20}) {
      config.log_every = every, config.max_skipped = most;
      Trainer trainer(backend_, model, config, data);
      const std::string count = std::to_string(most);
      expect_error([&] { trainer.fit(data); }, "fit: diverged: the loss or the gradient norm was not finite in " +
                                                   count + " steps in a row, up to step " + count +
                                                   "; no such step changed the parameters");
      EXPECT_EQ(trainer.state().step, most) << "reports every " << every;
      EXPECT_EQ(trainer.state().skipped, most);
    }
}

TEST_P(Divergence, ALoopOfOnesOwnEndsToo) {
  VaeConfig model = small_model();
  model.likelihood = Likelihood::gaussian;
  TrainConfig config = small_training();
  config.binarize = Binarize::none;
  config.max_skipped = 4;
  Trainer trainer(backend_, model, config, kSmallRows);
  const Matrix good(backend_, 5, 12, random_vector(60, 1, 0, 1)), bad(backend_, 5, 12, std::vector<float>(60, 1e30f));
  for (int i = 0; i < 3; ++i) trainer.step(bad);
  trainer.step(good);
  for (int i = 0; i < 3; ++i) trainer.step(bad);
  EXPECT_EQ(trainer.state().skipped_in_a_row, 3u);
  const std::string diverged =
      "step: diverged: the loss or the gradient norm was not finite in 4 steps in a row, up to "
      "step 8;";
  if (backend_.records()) {  // the host notices later; the device has then stopped
    for (int i = 0; i < 9; ++i) trainer.step(bad);
    EXPECT_EQ(trainer.metrics().skipped, 7u);
  } else {
    expect_error([&] { trainer.step(bad); }, diverged);
  }
  const std::vector<float> before = parameters(trainer.vae());
  expect_error([&] { trainer.step(good); }, diverged);
  expect_same_bits(parameters(trainer.vae()), before, "params");
  EXPECT_EQ(trainer.state().step, 8u);
  configure(trainer, [](TrainConfig& c) { c.max_skipped = 5; });  // and continues with a larger limit
  trainer.step(good);
  EXPECT_EQ(trainer.state().updates, 2u);
}

TEST_P(Divergence, SettingsOutOfRangeAreRefusedAndChangeNothing) {
  Trainer trainer(backend_, small_model(), small_training(), kSmallRows);
  const Matrix x(backend_, 5, 12, random_vector(60, 1, 0, 1));
  trainer.step(x);
  const TrainConfig before = trainer.config();
  const auto expect_refused = [&](const std::string& text, auto change) {
    expect_error([&] { configure(trainer, change); }, text);
    EXPECT_TRUE(trainer.config() == before);
  };
  expect_refused("schedule: the rate is nan but must be positive",
                 [](TrainConfig& c) { c.schedule.rate = std::nan(""); });
  expect_refused("training: beta is nan but must be at least 0", [](TrainConfig& c) { c.beta = kNaN; });
  expect_refused("training: beta2 is 1 but must be", [](TrainConfig& c) { c.beta2 = 1; });
  trainer.step(x);
  EXPECT_EQ(trainer.state().updates, 2u);
}

// The CPU refuses before it computes anything. A backend that would have to wait skips the step.
TEST_P(Divergence, PixelsThatAreNoProbabilitiesDoNotTrain) {
  for (const Binarize binarize : {Binarize::none, Binarize::threshold, Binarize::stochastic})
    for (const float bad : {7.0f, -0.5f, 1.0001f, kNaN}) {
      SCOPED_TRACE(std::string(to_string(binarize)) + ", " + std::to_string(bad));
      TrainConfig config = small_training();
      config.binarize = binarize;
      Trainer trainer(backend_, small_model(), config, kSmallRows);
      std::vector<float> values = random_vector(60, 1, 0, 1);
      values[2 * 12 + 5] = bad;
      const Matrix x(backend_, 5, 12, values);
      const std::vector<float> before = parameters(trainer.vae());
      if (backend_.reads_host_memory()) {
        expect_error([&] { trainer.step(x); }, "step: x is ");
        expect_error([&] { trainer.step(x); }, " in row 2, column 5 but must lie in [0, 1]");
        expect_error([&] { trainer.gradient(x); }, "gradient: x is ");
        EXPECT_EQ(trainer.state().step, 0u);
      } else {
        trainer.step(x);
        EXPECT_EQ(trainer.state().skipped, 1u);
      }
      expect_same_bits(parameters(trainer.vae()), before, "params");
    }
}

}  // namespace
}  // namespace cuvae
