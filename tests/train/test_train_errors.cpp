// Settings and data that a trainer refuses.
#include <functional>
#include <limits>
#include <utility>

#include "cuvae/checkpoint.h"
#include "cuvae/estimator.h"
#include "error_text.h"
#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();
constexpr float kNaNf = std::numeric_limits<float>::quiet_NaN(), kInfinityf = std::numeric_limits<float>::infinity();

class TrainErrors : public OpTest {
 protected:
  /// The trainer must refuse the setting at each value, with a message that names it.
  template <class Config, class Field>
  void expect_refused(Field Config::*field, std::vector<Field> values, const std::string& name) {
    for (const Field value : values) {
      Config config = defaults(Config{});
      config.*field = value;
      expect_refused(config, name);
    }
  }
  void expect_refused(const TrainConfig& config, const std::string& name) {
    expect_error([&] { Trainer(backend_, small_model(), config, kSmallRows); }, name + " is ");
  }
  void expect_refused(const Schedule& schedule, const std::string& name) {
    TrainConfig config = small_training();
    config.schedule = schedule;
    expect_refused(config, name);
  }
  void expect_refused(const VaeConfig& model, const std::string& name) {
    expect_error([&] { Trainer(backend_, model, small_training(), kSmallRows); }, name);
  }

 private:
  static TrainConfig defaults(TrainConfig) { return small_training(); }
  static VaeConfig defaults(VaeConfig) { return small_model(); }
  static Schedule defaults(Schedule s) { return s; }
};
CUVAE_ON_EVERY_BACKEND(TrainErrors);

TEST_P(TrainErrors, EverySettingOutOfRangeIsNamed) {
  using C = TrainConfig;
  constexpr Index kTooMany = Index{1} << 31, kLowest = std::numeric_limits<Index>::min();
  for (const auto& [field, name] : {std::pair{&C::batch, "batch"},
                                    {&C::samples, "samples"},
                                    {&C::epochs, "epochs"},
                                    {&C::checkpoint_every, "checkpoint_every"},
                                    {&C::max_skipped, "max_skipped"}})
    expect_refused(field, {0, -1, kTooMany, kLowest}, name);
  for (const auto& [field, name] : {std::pair{&C::patience, "patience"}, {&C::log_every, "log_every"}})
    expect_refused(field, {-1, kTooMany, kLowest}, name);
  for (const auto& [field, name] : {std::pair{&C::beta, "beta"},
                                    {&C::free_bits, "free_bits"},
                                    {&C::weight_decay, "weight_decay"},
                                    {&C::clip_norm, "clip_norm"},
                                    {&C::clip_value, "clip_value"}})
    expect_refused(field, {-1e-9f, kNaNf, kInfinityf}, name);
  for (const auto& [field, name] : {std::pair{&C::beta1, "beta1"}, {&C::beta2, "beta2"}, {&C::ema_decay, "ema_decay"}})
    expect_refused(field, {-0.1f, 1.0f, kNaNf, kInfinityf}, name);
  expect_refused(&C::epsilon, {0.0f, -1.0f, kNaNf, kInfinityf}, "epsilon");
  expect_refused(&C::kl_warmup_epochs, {-1.0, kNaN, kInfinity}, "kl_warmup_epochs");
  expect_refused(&C::validation, {-0.1, 1.0, kNaN}, "validation");
  expect_refused(&C::patience, {1}, "patience");  // without validation
}

TEST_P(TrainErrors, PairsNeedAnEvenNumberAndIndependentBaselines) {
  TrainConfig config = small_training();
  config.antithetic = true;
  for (const Index odd : {1, 3}) {
    config.samples = odd;
    expect_error([&] { config.validate(); },
                 "samples is " + std::to_string(odd) + " but must be even for antithetic pairs");
  }
  config.samples = 2;
  for (const Estimator e : {Estimator::rloo, Estimator::optimal, Estimator::optimal_shared, Estimator::iwae,
                            Estimator::rws_dreg, Estimator::vimco}) {
    config.estimator = e;
    expect_error([&] { config.validate(); }, "antithetic is true but must be false with the estimator " +
                                                 std::string(to_string(e)) + ": only pathwise");
  }
  for (const Estimator e : {Estimator::pathwise, Estimator::total, Estimator::stl, Estimator::score,
                            Estimator::score_mean, Estimator::nvil, Estimator::nvil_scaled}) {
    config.estimator = e;
    EXPECT_NO_THROW(config.validate()) << to_string(e);
  }
}

TEST_P(TrainErrors, WhatAnEstimatorDoesNotAllowIsNamed) {
  TrainConfig config = small_training();
  for (const Estimator e : {Estimator::rloo, Estimator::optimal, Estimator::optimal_shared, Estimator::rws_dreg,
                            Estimator::vimco, Estimator::vimco_arithmetic}) {
    config.estimator = e;
    expect_error([&] { config.validate(); },
                 "samples is 1 but must be at least 2 with the estimator " + std::string(to_string(e)));
  }
  config.samples = 2;
  for (const Estimator e : {Estimator::total, Estimator::stl, Estimator::score, Estimator::iwae, Estimator::vimco}) {
    config.estimator = e;
    const std::string chosen = " with the estimator " + std::string(to_string(e));
    TrainConfig bad = config;
    bad.beta = 0.5f, bad.kl_warmup_epochs = 2;
    if (takes_kl_weight(e, Cost::elbo)) {
      EXPECT_NO_THROW(bad.validate());
    } else {
      expect_error([&] { bad.validate(); }, "beta is 0.5 but must be 1" + chosen);
      bad.beta = 1;
      expect_error([&] { bad.validate(); }, "kl_warmup_epochs is 2 but must be 0" + chosen);
    }
    bad = config;
    bad.free_bits = 0.25f;
    expect_error([&] { bad.validate(); }, "free_bits is 0.25 but must be 0" + chosen);
    bad = config;
    bad.cost = Cost::joint;
    if (e == Estimator::score) continue;
    expect_error([&] { bad.validate(); },
                 "cost is joint but must be elbo" + chosen + ": only score functions other than nvil-scaled");
  }
  Trainer trainer(backend_, small_model(), config, kSmallRows);
  expect_error([&] { configure(trainer, [](TrainConfig& c) { c.estimator = Estimator::rloo; }); },
               "configure: estimator is rloo but the trainer was made with ");
  config = small_training();
  config.estimator = Estimator::rloo, config.samples = 2;
  Trainer unpaired(backend_, small_model(), config, kSmallRows);
  expect_error([&] { configure(unpaired, [](TrainConfig& c) { c.antithetic = true; }); },
               "configure: antithetic is true but the trainer was made with false");
}

TEST_P(TrainErrors, EveryPartOfAScheduleOutOfRangeIsNamed) {
  using Kind = LearningRate::Kind;
  expect_refused(&Schedule::rate, {0.0, -1.0, kNaN, kInfinity}, "schedule: the rate");
  expect_refused(&Schedule::rate, {1e-50, 1e39}, "schedule: the rate");  // 0 and infinite as float32
  expect_refused(&Schedule::final_rate, {-1.0, kNaN, kInfinity, 1e-50, 1e39}, "the final rate");
  expect_refused(&Schedule::epochs, {-1.0, kNaN, kInfinity}, "the length");
  expect_refused(&Schedule::warmup_epochs, {-1.0, kNaN, kInfinity}, "the warm-up");
  expect_refused(Schedule{Kind::step, 1, 0, 0, 1e-50, 10, {}}, "the decay");
  expect_refused(Schedule{Kind::pieces, 1, 0, 0, 0.5, 10, {{1, 1}, {1, 1e-50}}}, "schedule: a rate");
  for (const double bad : {0.0, -1.0, kNaN, kInfinity}) {
    expect_refused(Schedule{Kind::step, 1, 0, 0, bad, 10, {}}, "the decay");
    expect_refused(Schedule{Kind::step, 1, 0, 0, 0.5, bad, {}}, "the interval");
    expect_refused(Schedule{Kind::pieces, 1, 0, 0, 0.5, 10, {{1, 1}, {bad, 1}}}, "a number of passes");
    expect_refused(Schedule{Kind::pieces, 1, 0, 0, 0.5, 10, {{1, 1}, {1, bad}}}, "schedule: a rate");
  }
  TrainConfig config = small_training();
  config.schedule.kind = Kind::pieces;
  for (const std::size_t count : {0, 17}) {
    config.schedule.pieces.assign(count, {1, 1});
    expect_error([&] { config.validate(); }, "schedule: " + std::to_string(count) + " (passes, rate) pairs");
  }
}

// An epoch of 43 examples has 8 steps of 5.
TEST_P(TrainErrors, WhatRoundsToNothingIsRefused) {
  using Kind = LearningRate::Kind;
  const auto expect = [&](const TrainConfig& config, const std::string& name) {
    expect_error([&] { Trainer(backend_, small_model(), config, kSmallRows); },
                 "training: " + name + " epochs rounds to 0 steps: an epoch has 8");
  };
  TrainConfig config = small_training();
  config.kl_warmup_epochs = 0.06;
  expect(config, "a KL warm-up of 0.06");
  config.kl_warmup_epochs = 0.07;  // 0.56 steps round to one
  EXPECT_NO_THROW(Trainer(backend_, small_model(), config, kSmallRows));
  Trainer trainer(backend_, small_model(), config, kSmallRows);
  expect_error([&] { configure(trainer, [](TrainConfig& c) { c.kl_warmup_epochs = 0.001; }); },
               "a KL warm-up of 0.001 epochs rounds to 0 steps");
  config = small_training();
  config.schedule = {Kind::cosine, 1, 0, 0.01, 0.5, 10, {}};
  expect(config, "a warm-up of the rate of 0.01");
  config.schedule = {Kind::cosine, 1, 0.1, 0, 0.5, 10, {}, 0.01};
  expect(config, "a cosine of 0.01");
  config.schedule = {Kind::step, 1, 0, 0, 0.5, 0.01, {}};
  expect(config, "an interval between rates of 0.01");
  config.schedule = {Kind::pieces, 1, 0, 0, 0.5, 10, {{1, 1}, {0.01, 0.5}}};
  expect(config, "a piece of the schedule of 0.01");

  config = small_training();
  config.validation = 0.02;
  expect_error([&] { Trainer(backend_, small_model(), config, small_data()); },
               "validation is 0.02, which holds out none of 43 examples: it must be 0 or at least 1/43");
  config.validation = 0.024;
  EXPECT_EQ(training_examples(config, 43), 42);
}

TEST_P(TrainErrors, EveryPartOfAModelOutOfRangeIsNamed) {
  using C = VaeConfig;
  constexpr Index kTooWide = (Index{1} << 24) + 1;
  expect_refused(&C::data_dim, {0, -5, kTooWide}, "data_dim is ");
  expect_refused(&C::latent, {0, -5, kTooWide}, "latent is ");
  expect_refused(&C::scale, {0.0f, -1.0f, 0.9e-18f, 1.1e18f, kNaNf, kInfinityf}, "must be within 1e-18 to 1e+18");
  for (const Likelihood learned : {Likelihood::gaussian_learned, Likelihood::gaussian_learned_per_dim})
    for (const float scale : {1e-4f, 5000.0f, 0.000911f, 1097.0f}) {
      VaeConfig model = small_model();
      model.likelihood = learned;
      model.scale = scale;
      expect_refused(model, "but a learned one must start within 0.000911882 to 1096.63");
    }
  expect_refused(&C::image_height, {0, -3, 5, 1000, 1}, "pictures of ");
  expect_refused(&C::image_width, {0, -4, 12}, "pictures of ");
  for (const Index width : {Index{0}, Index{-1}, kTooWide}) {
    VaeConfig model = small_model();
    model.encoder_hidden = {4, width};
    expect_refused(model, "a hidden width of the encoder is " + std::to_string(width));
    model = small_model();
    model.decoder_hidden = {width};
    expect_refused(model, "a hidden width of the decoder is " + std::to_string(width));
  }
  VaeConfig model = small_model();
  model.encoder_hidden.assign(65, 1);
  expect_refused(model, "more than 64 hidden layers");
}

// No product of sizes in the library may overflow.
TEST_P(TrainErrors, SizesThatMultiplyBeyondReasonAreRefused) {
  TrainConfig config = small_training();
  config.batch = config.samples = 0x7fffffff;
  expect_error([&] { Trainer(backend_, small_model(), config, Index{1} << 40); }, "samples");
  config = small_training();
  config.epochs = 0x7fffffff;
  expect_error([&] { Trainer(backend_, small_model(), config, Index{1} << 40); }, "more than 4294967294 steps");
  Trainer trainer(backend_, small_model(), small_training(), kSmallRows);
  expect_error([&] { configure(trainer, [](TrainConfig& c) { c.epochs = 0x7fffffff; }); },
               "2147483647 epochs of 8 steps are more than 4294967294 steps");
}

TEST_P(TrainErrors, DataThatDoNotFit) {
  TrainConfig config = small_training();
  config.batch = 44;
  expect_error([&] { Trainer(backend_, small_model(), config, small_data()); },
               "batch is 44 but there are only 43 training examples");
  config.batch = 40;
  config.validation = 0.5;
  expect_error([&] { Trainer(backend_, small_model(), config, small_data()); },
               "batch is 40 but there are only 22 training examples (validation holds out 0.5 of all)");

  Trainer trainer(backend_, small_model(), small_training(), kSmallRows);
  expect_error([&] { trainer.fit(small_data(42)); },
               "memory: gives 42 training examples but the trainer was made for 43");
  expect_error([&] { trainer.fit(Dataset::from_memory(small_pixels(kSmallRows, 11), kSmallRows, 11)); },
               "memory: examples have 11 values but the model's data_dim is 12");
  for (const float bad : {-0.01f, 1.01f}) {
    std::vector<float> values = fractions(small_pixels());
    values.back() = bad;
    expect_error([&] { trainer.fit(Dataset::from_memory(values, kSmallRows, 12)); }, "needs values in [0, 1]");
  }
  EXPECT_EQ(trainer.state().step, 0u);
}

TEST_P(TrainErrors, AGaussianTakesAnyDataUnlessTheyAreBinarizedByChance) {
  const Dataset data = Dataset::from_memory(random_vector(kSmallRows * 12, 3, -2, 2), kSmallRows, 12);
  VaeConfig model = small_model();
  model.likelihood = Likelihood::gaussian;
  TrainConfig config = small_training();
  config.binarize = Binarize::none;
  EXPECT_EQ(Trainer(backend_, model, config, data).fit(data), Outcome::finished);
  config.binarize = Binarize::stochastic;
  expect_error([&] { Trainer(backend_, model, config, data).fit(data); }, "needs values in [0, 1]");
}

TEST_P(TrainErrors, OtherDataOnResumeAreRefused) {
  const TempDir folder;
  Trainer(backend_, small_model(), small_training(), kSmallRows).fit(small_data(), {folder.path(), {}, nullptr});
  Trainer resumed = Trainer::resume(backend_, folder / "last.safetensors");
  std::vector<std::uint8_t> pixels = small_pixels();
  pixels[100] ^= 1;
  expect_error([&] { resumed.fit(Dataset::from_memory(pixels, kSmallRows, 12)); },
               "memory: is not the data that this run was trained on");
  EXPECT_EQ(resumed.fit(small_data()), Outcome::finished);
}

TEST_P(TrainErrors, WhatBuffersAreMadeForCannotChange) {
  Trainer trainer(backend_, small_model(), small_training(), kSmallRows);
  const TrainConfig before = trainer.config();
  const auto expect_fixed = [&](const std::string& text, auto change) {
    expect_error([&] { configure(trainer, change); }, "configure: " + text);
    EXPECT_TRUE(trainer.config() == before);
  };
  expect_fixed("seed is 1 but the trainer was made with 1311768467294899695", [](TrainConfig& c) { c.seed = 1; });
  expect_fixed("batch is 10 but the trainer was made with 5", [](TrainConfig& c) { c.batch = 10; });
  expect_fixed("samples is 10 but the trainer was made with 1", [](TrainConfig& c) { c.samples = 10; });
  expect_fixed("cost is joint but", [](TrainConfig& c) { c.cost = Cost::joint; });
  expect_fixed("binarize is none but", [](TrainConfig& c) { c.binarize = Binarize::none; });
  expect_fixed("pixel_scale is 2 but", [](TrainConfig& c) { c.pixel_scale = 2; });
  expect_fixed("optimizer is sgd but", [](TrainConfig& c) { c.optimizer = Optimizer::sgd; });
  expect_fixed("standardize is true but", [](TrainConfig& c) { c.standardize = true; });
  expect_fixed("validation is 0.5 but", [](TrainConfig& c) { c.validation = 0.5; });
  expect_fixed("averaging of weights (ema_decay above 0) is true but", [](TrainConfig& c) { c.ema_decay = 0.5f; });
  configure(trainer, [](TrainConfig& c) { c.epochs = 4, c.schedule.rate = 0.02; });
  EXPECT_EQ(trainer.fit(small_data()), Outcome::finished);
  EXPECT_EQ(trainer.state().step, 32u);
}

TEST_P(TrainErrors, CheckpointsIntoAMissingFolder) {
  const TempDir folder;
  Trainer trainer(backend_, small_model(), small_training(), kSmallRows);
  expect_error([&] { trainer.fit(small_data(), {folder / "missing", {}, nullptr}); }, "missing/last.safetensors");
}

}  // namespace
}  // namespace cuvae
