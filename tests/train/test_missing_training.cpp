// Training on data with missing values: repeats, resumes, units of the metrics, and what does not go together.
#include <cmath>

#include "error_text.h"
#include "gradient_test.h"
#include "stopped_run.h"

namespace cuvae {
namespace {
using namespace test;

class MissingTraining : public OpTest {};
CUVAE_ON_EVERY_BACKEND(MissingTraining);

/// small_data() of which a quarter is missing, and all of row 3.
Dataset incomplete_data(float unit = 1) {
  std::vector<float> x = fractions(small_pixels());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / 12 == 3 || (i + i / 12) * 7 % 4 == 1 ? NAN : unit * x[i];
  return Dataset::from_memory(x, kSmallRows, 12, NaNs::missing);
}
VaeConfig model(Likelihood likelihood = Likelihood::bernoulli) {
  VaeConfig m = with_missing_values(small_model());
  m.likelihood = likelihood;
  return m;
}

TEST_P(MissingTraining, StoppedAnywhereEndsTheSame) {
  TrainConfig standardized = thorough_training();
  standardized.binarize = Binarize::none;
  standardized.standardize = true;
  TrainConfig nvil = small_training();
  nvil.estimator = Estimator::nvil;
  nvil.validation = 0.25;
  for (const auto& [m, config] : {std::pair{model(), thorough_training()},
                                  {model(Likelihood::gaussian_learned), standardized},
                                  {model(), nvil}}) {
    const std::string bytes = trained(backend_, m, config, never, incomplete_data());
    EXPECT_TRUE(bytes == trained(backend_, m, config, never, incomplete_data()));
    EXPECT_TRUE(bytes == trained(
                             backend_, m, config, [](std::uint64_t step) { return step % 4 == 1; }, incomplete_data()));
  }
}

// The same terms, of which a compiler may round some another time.
TEST_P(MissingTraining, OfCompleteDataIsTheSame) {
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned}) {
    const auto gradient = [&](const VaeConfig& m) {
      return gradient_at(backend_, m, plain_sgd(2), random_parameters(parameter_layout(m)));
    };
    const VaeConfig complete = smooth_model(likelihood);
    expect_close(gradient(with_missing_values(complete)), reference::widen(gradient(complete)), 40 * 0x1p-24,
                 40 * 0x1p-24, "gradient");
  }
}

// The mean over the examples, of which each is in one step: log p of data in other units differs by the log scales of
// their observed values. Batches of 1, so that none is left out; the standardization has no roundings to speak of.
TEST_P(MissingTraining, MetricsAreInTheDatasUnits) {
  const auto loss = [&](float unit) {
    TrainConfig config = small_training();
    config.batch = 1, config.epochs = 1, config.binarize = Binarize::none;
    config.standardize = true;
    config.schedule.rate = 1e-6;
    const Dataset data = incomplete_data(unit);
    Trainer trainer(backend_, model(Likelihood::gaussian), config, data);
    trainer.fit(data);
    return trainer.metrics().loss;
  };
  double observed = 0;
  for (Index i = 0; i < kSmallRows; ++i)
    for (const float v : incomplete_data().row(i)) observed += std::isnan(v) ? 0 : 1.0 / kSmallRows;
  EXPECT_NEAR(loss(1024) - loss(1), observed * std::log(1024.0), 1e-3);
}

TEST_P(MissingTraining, StandardizesByTheObservedValues) {
  std::vector<std::uint32_t> rows(kSmallRows);
  for (std::uint32_t i = 0; i < kSmallRows; ++i) rows[i] = i;
  const Standardization s = Standardization::of(incomplete_data(), rows);
  for (std::size_t d = 0; d < 12; ++d) {
    double n = 0, sum = 0, squares = 0;
    for (const std::uint32_t i : rows)
      if (const double v = incomplete_data().row(i)[d]; !std::isnan(v)) ++n, sum += v, squares += v * v;
    EXPECT_NEAR(s.mean[d], sum / n, 1e-12);
    EXPECT_NEAR(s.scale[d], std::sqrt(squares / n - sum / n * sum / n), 1e-9);
    EXPECT_NEAR(s.observed[d], n / kSmallRows, 1e-12);
    EXPECT_NEAR(incomplete_data().mean(static_cast<Index>(d)), sum / n, 1e-12);
  }
  EXPECT_TRUE(Standardization::of(small_data(), rows).observed.empty());
}

TEST_P(MissingTraining, AColumnWithoutAnyValueHasNoMean) {
  std::vector<float> x(kSmallRows * 12, 0.5f);
  for (std::size_t i = 7; i < x.size(); i += 12) x[i] = NAN;
  const Dataset data = Dataset::from_memory(x, kSmallRows, 12, NaNs::missing);
  TrainConfig config = small_training();
  config.binarize = Binarize::none;
  config.output_bias_from_data = true;
  const auto fit = [&](const VaeConfig& m) {
    Trainer trainer(backend_, m, config, data);
    trainer.fit(data);
  };
  expect_error([&] { fit(model()); }, "memory: column 7 has no value that is not missing");
  config.output_bias_from_data = false, config.standardize = true;
  expect_error([&] { fit(model(Likelihood::gaussian)); },
               "memory: column 7 cannot be standardized: all its values are missing in the training examples");
}

TEST_P(MissingTraining, WhatDoesNotGoTogetherIsNamed) {
  TrainConfig config = small_training();
  config.objective = Objective::wake_sleep;
  const auto make = [&](const VaeConfig& m, const Dataset& data) { Trainer(backend_, m, config, data).fit(data); };
  expect_error(
      [&] { make(model(), incomplete_data()); },
      "training: the objective is wake-sleep, which draws complete examples, but the model takes missing values");
  config.objective = Objective::rws, config.sleep_share = 0.5f;
  expect_error([&] { make(model(), incomplete_data()); },
               "the objective is rws with a sleep_share, which draws complete");
  config = small_training();
  expect_error([&] { make(small_model(), incomplete_data()); },
               "memory: row 0, column 3 is missing, but the model takes no missing values (--missing)");
  VaeConfig marked = model();
  marked.missing_value = -1.0f;
  expect_error([&] { make(marked, incomplete_data()); },
               "memory: the missing value is not given but the model's missing_value is -1");
  marked.missing_value = NAN;
  expect_error([&] { marked.validate(); }, "model: missing_value is nan but must be finite");
  marked.missing_value = 1.0f, marked.missing_values = false;
  expect_error([&] { marked.validate(); }, "model: missing_value is 1 but must be absent");
}

// NaN is missing, a value outside [0, 1] is a mistake.
TEST_P(MissingTraining, AValueOutsideOfZeroToOneIsNotMissing) {
  for (const Binarize binarize : {Binarize::none, Binarize::threshold, Binarize::stochastic}) {
    TrainConfig config = small_training();
    config.binarize = binarize;
    Trainer trainer(backend_, model(), config, 5);
    std::vector<float> x(60, 0.25f);
    x[3] = NAN;
    trainer.step(Matrix(backend_, 5, 12, x));
    EXPECT_EQ(trainer.state().updates, 1u);
    x[17] = 1.5f;
    const Matrix batch(backend_, 5, 12, x);
    if (backend_.reads_host_memory()) {
      expect_error([&] { trainer.step(batch); }, "step: x is 1.5 in row 1, column 5 but must lie in [0, 1]");
    } else {
      trainer.step(batch);
      EXPECT_EQ(trainer.state().skipped, 1u);
    }
  }
}

}  // namespace
}  // namespace cuvae
