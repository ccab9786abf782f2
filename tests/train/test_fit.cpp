// The loop of epochs: training rows, validation, early stopping, and checkpoints of the best epoch.
#include <atomic>
#include <cmath>
#include <map>

#include "cuvae/checkpoint.h"
#include "error_text.h"
#include "op_test.h"
#include "shuffled_rows.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

class Fit : public OpTest {
 protected:
  std::vector<float> fitted(const TrainConfig& config, const Dataset& data, const FitOptions& options = {}) {
    Trainer trainer(backend_, small_model(), config, data);
    EXPECT_EQ(trainer.fit(data, options), Outcome::finished);
    return parameters(trainer.vae());
  }
};
CUVAE_ON_EVERY_BACKEND(Fit);

// step() on the rows of an epoch's shuffle gives the same bits as fit().
TEST_P(Fit, EqualsStepsOnTheShuffledRows) {
  for (const double validation : {0.0, 0.25}) {
    TrainConfig config = small_training();
    config.validation = validation;
    const SplitRows split(config, validation > 0 ? 10 : 0);
    Trainer by_hand(backend_, small_model(), config, static_cast<Index>(split.train.size()));
    const std::vector<std::uint8_t> pixels = small_pixels();
    for (std::uint32_t epoch = 0; epoch < config.epochs; ++epoch) {
      Rows order = split.train;
      shuffle(order, {config.seed, Stream::shuffle, epoch});
      for (std::size_t first = 0; first + 5 <= order.size(); first += 5) {
        std::vector<std::uint8_t> rows;
        for (std::size_t b = first; b < first + 5; ++b)
          rows.insert(rows.end(), pixels.begin() + order[b] * 12, pixels.begin() + (order[b] + 1) * 12);
        const Array<std::uint8_t> x(backend_, rows);
        by_hand.step({x.data(), 5, 12, DType::u8});
      }
    }
    expect_same_bits(parameters(by_hand.vae()), fitted(config, small_data()), "params");
  }
}

TEST_P(Fit, HeldOutRowsChangeNothingButTheValidation) {
  TrainConfig config = small_training();
  config.validation = 0.25;
  EXPECT_EQ(training_examples(config, kSmallRows), 33);
  const SplitRows split(config, 10);
  std::vector<double> elbos[2];
  std::vector<float> params[2];
  for (int run = 0; run < 2; ++run) {
    std::vector<std::uint8_t> pixels = small_pixels();
    if (run == 1)
      for (const std::uint32_t row : split.held_out)
        for (std::uint32_t d = 0; d < 12; ++d) pixels[row * 12 + d] ^= 0xff;
    FitOptions options;
    options.on_progress = [&](const Progress& p) {
      EXPECT_EQ(p.validation.has_value(), p.epoch_end);
      if (!p.epoch_end) return;
      EXPECT_EQ(p.validation->examples, 10);
      elbos[run].push_back(p.validation->elbo);
    };
    params[run] = fitted(config, Dataset::from_memory(pixels, kSmallRows, 12), options);
  }
  expect_same_bits(params[0], params[1], "params");
  for (std::size_t epoch = 0; epoch < 3; ++epoch) EXPECT_NE(elbos[0].at(epoch), elbos[1].at(epoch));
}

TEST_P(Fit, ValidationIsTheEvaluationOfTheHeldOutRows) {
  TrainConfig config = small_training();
  config.validation = 0.25;
  config.samples = 2;
  const Dataset data = small_data();
  Trainer trainer(backend_, small_model(), config, data);
  FitOptions options;
  int epochs = 0;
  options.on_progress = [&](const Progress& p) {
    if (!p.epoch_end) return;
    ++epochs;
    const Evaluation want =
        evaluate(trainer.vae(), data, SplitRows(config, 10).held_out, {1, config.batch, config.binarize, config.seed});
    EXPECT_EQ(p.validation->elbo, want.elbo);
    EXPECT_EQ(p.validation->kl_dims, want.kl_dims);
  };
  trainer.fit(data, options);
  EXPECT_EQ(epochs, 3);
}

TEST_P(Fit, AveragedWeightsAreValidatedAndLoaded) {
  const TempDir folder;
  TrainConfig config = small_training();
  config.validation = 0.25;
  config.ema_decay = 0.9f;
  const Dataset data = small_data();
  Trainer trainer(backend_, small_model(), config, data);
  FitOptions options{folder.path(), {}, nullptr};
  double elbo = NAN;
  options.on_progress = [&](const Progress& p) {
    if (p.validation) elbo = p.validation->elbo;
  };
  trainer.fit(data, options);
  const auto elbo_of = [&](const Vae& vae) {
    return evaluate(vae, data, SplitRows(config, 10).held_out, {1, config.batch, config.binarize, config.seed}).elbo;
  };
  EXPECT_EQ(elbo_of(load_vae(backend_, folder / "last.safetensors")), elbo);
  EXPECT_NE(elbo_of(trainer.vae()), elbo);
  EXPECT_TRUE(read_checkpoint_info(folder / "last.safetensors").averaged);
}

TEST_P(Fit, StopsEarlyAndKeepsTheBestEpoch) {
  const TempDir folder;
  TrainConfig config = small_training();
  config.validation = 0.25;
  config.patience = 3;
  config.epochs = 1000;
  config.schedule.rate = 0.3;  // so fast that the best ELBO is not the last
  const Dataset data = small_data();
  Trainer trainer(backend_, small_model(), config, data);
  double best = -INFINITY;
  Index without_gain = 0, best_epoch = 0, last_epoch = 0;
  std::vector<float> best_params;
  FitOptions options{folder.path(), {}, nullptr};
  options.on_progress = [&](const Progress& p) {
    if (!p.epoch_end) return;
    EXPECT_LT(without_gain, 3);
    EXPECT_EQ(p.best, p.validation->elbo > best);
    without_gain = p.best ? 0 : without_gain + 1;
    last_epoch = p.epoch;
    if (!p.best) return;
    best = p.validation->elbo;
    best_epoch = p.epoch;
    best_params = parameters(trainer.vae());
  };
  EXPECT_EQ(trainer.fit(data, options), Outcome::early_stopped);
  EXPECT_EQ(without_gain, 3);
  EXPECT_EQ(last_epoch, best_epoch + 3);
  EXPECT_LT(last_epoch, 1000);

  const CheckpointInfo of_best = read_checkpoint_info(folder / "best.safetensors");
  EXPECT_EQ(of_best.state.step, best_epoch * trainer.steps_per_epoch());
  EXPECT_EQ(of_best.best_elbo, best);
  expect_same_bits(parameters(load_vae(backend_, folder / "best.safetensors")), best_params, "the best epoch");
  EXPECT_EQ(read_checkpoint_info(folder / "last.safetensors").state.step, last_epoch * trainer.steps_per_epoch());
  Trainer again = Trainer::resume(backend_, folder / "last.safetensors");
  EXPECT_EQ(again.fit(data), Outcome::early_stopped);
  EXPECT_EQ(again.state().step, last_epoch * trainer.steps_per_epoch());
}

// A run that trains a bound validates that bound, over as many samples, and its best epoch is that of the bound.
TEST_P(Fit, FollowsTheBoundThatIsTrained) {
  const TempDir folder;
  TrainConfig config = small_training();
  config.estimator = Estimator::dreg;
  config.samples = 60;  // two chunks
  config.validation = 0.25;
  config.patience = 3;
  config.epochs = 1000;
  config.schedule.rate = 0.3;
  const Dataset data = small_data();
  Trainer trainer(backend_, small_model(), config, data);
  const auto value_of = [&](const Vae& vae) {
    const BoundOptions options{Bound::iwae, 60, config.batch, config.binarize, config.seed};
    return evaluate_bound(vae, data, SplitRows(config, 10).held_out, options).value;
  };
  double best = -INFINITY, best_elbo = -INFINITY;
  bool elbo_would_differ = false;
  FitOptions options{folder.path(), {}, nullptr};
  options.on_progress = [&](const Progress& p) {
    EXPECT_EQ(p.validation_bound.has_value(), p.epoch_end);
    if (!p.epoch_end) return;
    EXPECT_EQ(p.validation_bound->samples, 60);
    EXPECT_EQ(p.validation_bound->value, value_of(trainer.vae()));
    EXPECT_EQ(p.best, p.validation_bound->value > best);
    elbo_would_differ |= p.best != (p.validation->elbo > best_elbo);
    best = std::max(best, p.validation_bound->value);
    best_elbo = std::max(best_elbo, p.validation->elbo);
  };
  EXPECT_EQ(trainer.fit(data, options), Outcome::early_stopped);
  EXPECT_TRUE(elbo_would_differ) << "the test does not tell the ELBO from the bound";
  const CheckpointInfo info = read_checkpoint_info(folder / "best.safetensors");
  EXPECT_EQ(info.best_bound, best);
  EXPECT_TRUE(std::isnan(info.best_elbo));
  EXPECT_EQ(value_of(load_vae(backend_, folder / "best.safetensors")), best);
  Trainer again = Trainer::resume(backend_, folder / "last.safetensors");
  EXPECT_EQ(again.fit(data), Outcome::early_stopped);
  EXPECT_EQ(again.state().step, trainer.state().step);
}

// 43 rows make 8 steps of 5 rows per epoch.
TEST_P(Fit, ReportsItsProgress) {
  TrainConfig config = small_training();
  config.log_every = 3;
  config.beta = 0.5f;
  config.kl_warmup_epochs = 1.25;
  config.schedule = {LearningRate::Kind::cosine, 0.01, 0.001, 0.5, 0.5, 10, {}};
  LearningRate rate{LearningRate::Kind::cosine, 0.01f, 0.001f};
  rate.warmup_steps = 4, rate.total_steps = 24;
  std::vector<std::uint64_t> at;
  FitOptions options;
  options.on_progress = [&](const Progress& p) {
    at.push_back(p.step);
    EXPECT_EQ(p.epoch, static_cast<Index>(p.step + 7) / 8);
    EXPECT_EQ(p.epochs, 3);
    EXPECT_EQ(p.total_steps, 24u);
    EXPECT_EQ(p.epoch_end, p.step % 8 == 0);
    EXPECT_EQ(p.train.steps, (p.step + 7) % 8 + 1);
    EXPECT_GT(p.examples_per_second, 0);
    EXPECT_GE(p.seconds, 0);
    EXPECT_FALSE(p.validation.has_value() || p.best);
    const auto step = static_cast<std::uint32_t>(p.step - 1);  // the last step
    EXPECT_NEAR(p.learning_rate, reference::learning_rate(rate, step), 1e-6 * 0.01);
    EXPECT_NEAR(p.beta, 0.5 * std::min(1.0, step / 10.0), 1e-7);
  };
  fitted(config, small_data(), options);
  EXPECT_EQ(at, (std::vector<std::uint64_t>{3, 6, 8, 9, 12, 15, 16, 18, 21, 24}));
  at.clear();
  config.log_every = 0;
  fitted(config, small_data(), options);
  EXPECT_EQ(at, (std::vector<std::uint64_t>{8, 16, 24}));
}

// With more epochs, a cosine keeps its length, and a final rate of 0 is refused.
TEST_P(Fit, ACosineKeepsItsLength) {
  TrainConfig config = small_training();
  config.schedule.kind = LearningRate::Kind::cosine;
  config.schedule.final_rate = 0.001;
  const Dataset data = small_data();
  Trainer longer(backend_, small_model(), config, data);
  longer.fit(data);
  configure(longer, [](TrainConfig& c) { c.epochs = 5; });
  EXPECT_EQ(longer.config().schedule.epochs, 3);
  longer.fit(data);
  config.epochs = 5;
  config.schedule.epochs = 3;
  Trainer whole(backend_, small_model(), config, data);
  whole.fit(data);
  expect_same_bits(parameters(longer.vae()), parameters(whole.vae()), "epochs at the final rate");

  expect_error([&] { configure(longer, [](TrainConfig& c) { c.schedule.final_rate = 0; }); },
               "epochs is 5 but must be at most 3, where the cosine's rate comes to 0");
}

TEST_P(Fit, WarmsUpTheKl) {
  TrainConfig config = small_training();
  config.epochs = 1;
  config.kl_warmup_epochs = 0.5;
  Metrics before;
  FitOptions options;
  options.on_progress = [&](const Progress& p) {
    const auto n = static_cast<double>(p.train.steps);
    const auto of_step = [&](double Metrics::*mean) { return n * (p.train.*mean) - (n - 1) * (before.*mean); };
    const double beta = std::min(1.0, (n - 1) / 4);
    EXPECT_NEAR(of_step(&Metrics::loss), beta * of_step(&Metrics::kl) - of_step(&Metrics::reconstruction), 1e-9);
    before = p.train;
  };
  fitted(config, small_data(), options);
}

TEST_P(Fit, StartsTheOutputBiasAtTheDataMean) {
  const TempDir folder;
  TrainConfig config = small_training();
  config.output_bias_from_data = true;
  config.ema_decay = 0.9f;
  config.optimizer = Optimizer::sgd;
  config.schedule.rate = 1e-30;  // changes no parameter
  const Dataset data = small_data();
  Trainer trainer(backend_, small_model(), config, data);
  trainer.fit(data, {folder.path(), {}, nullptr});
  const Parameter& bias = trainer.vae().decoder().biases().back();
  const std::vector<float> params = parameters(trainer.vae()),
                           averaged = parameters(load_vae(backend_, folder / "last.safetensors"));
  for (Index d = 0; d < 12; ++d) {
    const double p = data.mean(d), logit = std::log(p / (1 - p));
    EXPECT_NEAR(params[bias.offset + d], logit, 1e-6);
    EXPECT_NEAR(averaged[bias.offset + d], logit, 1e-5);  // 24 roundings of the average
  }
}

}  // namespace
}  // namespace cuvae
