// Several ranks, each with its part of every batch, against one that has the whole.
#include <cmath>
#include <limits>

#include "cuvae/estimator.h"
#include "error_text.h"
#include "gradient_test.h"
#include "temp_dir.h"
#include "thread_group.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Index kRanks = 2, kPart = kBatch / kRanks;

std::vector<float> part(const std::vector<float>& rows, Index rank) {
  const Index size = static_cast<Index>(rows.size()) / kRanks;
  return {rows.begin() + rank * size, rows.begin() + (rank + 1) * size};
}

std::vector<float> read(Backend& backend, ConstView v) {
  std::vector<float> values(static_cast<std::size_t>(v.size()));
  backend.synchronize();
  backend.download(values.data(), v.data, values.size() * sizeof(float));
  return values;
}

class Groups : public OpTest {
 protected:
  struct Result {
    std::vector<float> gradient, parameters;
    Metrics metrics;
    StepState state;
  };
  /// A gradient, then steps, by a trainer of one rank or of a part of them. `pixels` are the whole batches.
  static Result trained(Backend& backend, const VaeConfig& model, const TrainConfig& training,
                        const std::vector<std::vector<float>>& batches, Group* group) {
    Trainer trainer(backend, model, training, kBatch, group);
    set_parameters(trainer, random_parameters(trainer.vae().layout()));
    const auto own = [&](const std::vector<float>& x) {
      return group == nullptr ? Matrix(backend, kBatch, kDim, x) : Matrix(backend, kPart, kDim, part(x, group->rank()));
    };
    Result r;
    r.gradient = read(backend, trainer.gradient(own(batches.front())));
    for (const std::vector<float>& x : batches) trainer.step(own(x));
    r.parameters = parameters(trainer.vae());
    r.metrics = trainer.metrics();
    r.state = trainer.state();
    return r;
  }

  /// Each rank on a backend of its own.
  std::vector<Result> of_ranks(const VaeConfig& model, const TrainConfig& training,
                               const std::vector<std::vector<float>>& batches) {
    std::vector<Result> results(kRanks);
    ThreadGroup(kRanks).run([&](Group& group) {
      const auto backend = make_test_backend(GetParam());
      results[static_cast<std::size_t>(group.rank())] = trained(*backend, model, training, batches, &group);
    });
    return results;
  }

  void expect_the_whole(const VaeConfig& model, const TrainConfig& training) {
    SCOPED_TRACE(std::string(to_string(training.estimator)) + ", K " + std::to_string(training.samples) + ", " +
                 std::to_string(model.above.size() + 1) + " layers");
    const std::vector<std::vector<float>> batches{random_pixels(0), random_pixels(1), random_pixels(2)};
    const Result whole = trained(backend_, model, training, batches, nullptr);
    const std::vector<Result> ranks = of_ranks(model, training, batches);
    expect_same_bits(ranks[0].gradient, ranks[1].gradient, "gradient of both ranks");
    expect_same_bits(ranks[0].parameters, ranks[1].parameters, "parameters of both ranks");
    // Sums in another order: some ten float32 roundings of terms of order one, or of the cost of a score.
    const double largest = uses_score(training.estimator) ? 16 : 1;
    Vector bound;
    for (const float g : whole.gradient) bound.push_back(40 * 0x1p-24 * (largest + std::fabs(double{g})));
    expect_within(ranks[0].gradient, reference::widen(whole.gradient), bound, "gradient");
    // Three steps of rate 1/16, each with such a gradient, and how the next one follows from it.
    bound.clear();
    for (const float p : whole.parameters) bound.push_back(40 * 0x1p-24 * (largest + std::fabs(double{p})));
    expect_within(ranks[0].parameters, reference::widen(whole.parameters), bound, "parameters");

    for (const Result& r : ranks) {
      EXPECT_EQ(r.metrics.steps, 3u);
      EXPECT_EQ(r.metrics.updates, 3u);
      EXPECT_NEAR(r.metrics.loss, whole.metrics.loss, 1e-5 * std::fabs(whole.metrics.loss));
      EXPECT_NEAR(r.metrics.reconstruction, whole.metrics.reconstruction,
                  1e-5 * std::fabs(whole.metrics.reconstruction));
      EXPECT_NEAR(r.metrics.kl, whole.metrics.kl, 1e-5 * (1 + std::fabs(whole.metrics.kl)));
      expect_close(r.metrics.kl_dims, whole.metrics.kl_dims, 1e-5, 1e-5, "kl_dims");
      EXPECT_NEAR(r.metrics.gradient_norm, whole.metrics.gradient_norm, 1e-5 * largest * whole.metrics.gradient_norm);
      EXPECT_EQ(r.metrics.active_units, whole.metrics.active_units);
    }
  }
};
CUVAE_ON_EVERY_BACKEND(Groups);

TEST_P(Groups, HaveTheGradientOfTheWhole) {
  for (const Estimator e : all_estimators()) {
    if (e == Estimator::nvil_scaled) continue;
    for (const Index samples : {1, 3})
      if (samples >= traits(e).least_samples) expect_the_whole(smooth_model(), plain_sgd(samples, e));
  }
}

TEST_P(Groups, WarmUpAndFreeBitsAreOfTheWhole) {
  TrainConfig training = plain_sgd(2);
  training.beta = 0.5f;
  // Between the KL of the dimensions, so that some are held, for the whole batch and not for each part.
  const Result whole = trained(backend_, smooth_model(), training, {random_pixels(0)}, nullptr);
  std::vector<double> dims = whole.metrics.kl_dims;
  std::sort(dims.begin(), dims.end());
  training.free_bits = static_cast<float>((dims[0] + dims[1]) / 2);
  expect_the_whole(smooth_model(), training);
}

TEST_P(Groups, LayersAndPriorsAreOfTheWhole) {
  VaeConfig model = smooth_model();
  model.above = {{2, {4}, {3}}};
  expect_the_whole(model, plain_sgd(2, Estimator::iwae));
  model.prior = Prior::vampprior, model.prior_components = 2;
  expect_the_whole(model, plain_sgd(2, Estimator::total));
  model.ladder = true;
  expect_the_whole(model, plain_sgd(2, Estimator::total));
}

TEST_P(Groups, SleepLikeTheWhole) {
  TrainConfig training = plain_sgd(2);
  training.objective = Objective::wake_sleep;
  expect_the_whole(smooth_model(), training);
}

TEST_P(Groups, EveryObjectiveIsOfTheWhole) {
  for (const Objective objective : {Objective::miwae, Objective::ciwae, Objective::piwae, Objective::rws}) {
    SCOPED_TRACE(to_string(objective));
    TrainConfig training = plain_sgd(2);
    training.objective = objective;
    if (objective == Objective::miwae || objective == Objective::piwae) training.bounds = 2;
    if (objective == Objective::rws) training.sleep_share = 0.25f;
    expect_the_whole(smooth_model(), training);
  }
}

TEST_P(Groups, BinarizeLikeTheWhole) {
  TrainConfig training = plain_sgd(1);
  training.binarize = Binarize::stochastic;
  expect_the_whole(smooth_model(), training);
}

// A part whose loss is not finite: no rank updates or counts the step.
TEST_P(Groups, SkipAStepTogether) {
  for (const Index bad : {Index{0}, kBatch * kDim - 1}) {
    std::vector<float> broken = random_pixels(1);
    broken[static_cast<std::size_t>(bad)] = std::numeric_limits<float>::infinity();
    VaeConfig model = smooth_model(Likelihood::gaussian);
    const std::vector<Result> ranks = of_ranks(model, plain_sgd(1), {random_pixels(0), broken, random_pixels(2)});
    const Result whole = trained(backend_, model, plain_sgd(1), {random_pixels(0), broken, random_pixels(2)}, nullptr);
    for (const Result& r : ranks) {
      EXPECT_EQ(r.state.step, 3u);
      EXPECT_EQ(r.state.skipped, 1u);
      EXPECT_EQ(r.metrics.steps, 2u);
      EXPECT_EQ(r.metrics.updates, 2u);
      EXPECT_NEAR(r.metrics.loss, whole.metrics.loss, 1e-5 * std::fabs(whole.metrics.loss));
      EXPECT_EQ(r.metrics.active_units, whole.metrics.active_units);
    }
    expect_same_bits(ranks[0].parameters, ranks[1].parameters, "parameters");
  }
}

// fit() of two ranks: the batches, the validation and the checkpoints of one. Differences grow with the steps: 1e-4 of
// the parameters after 24 steps of Adam at 0.01.
TEST_P(Groups, FitLikeTheWhole) {
  TrainConfig training = small_training();
  training.batch = 4;
  training.validation = 0.25;
  for (const Dataset& data : {small_data(), small_data().with_labels(small_labels())}) {
    const auto fitted = [&](Backend& backend, Group* group, const std::filesystem::path& folder) {
      Trainer trainer(backend, small_model(data), training, data, group);
      FitOptions options;
      options.checkpoints = folder;
      EXPECT_EQ(trainer.fit(data, options), Outcome::finished);
      return parameters(trainer.vae());
    };
    const TempDir alone, together;
    const std::vector<float> whole = fitted(backend_, nullptr, alone.path());
    std::vector<std::vector<float>> ranks(kRanks), resumed(kRanks);
    ThreadGroup(kRanks).run([&](Group& group) {
      const auto backend = make_test_backend(GetParam());
      const auto rank = static_cast<std::size_t>(group.rank());
      ranks[rank] = fitted(*backend, &group, together.path());
      resumed[rank] = parameters(Trainer::resume(*backend, together / "last.safetensors", &group).vae());
    });
    expect_same_bits(ranks[0], ranks[1], "parameters of both ranks");
    expect_same_bits(ranks[0], resumed[1], "parameters of a checkpoint");
    expect_close(ranks[0], reference::widen(whole), 1e-4, 1e-4, "parameters");
  }
}

TEST_P(Groups, SettingsThatDoNotFitAreNamed) {
  TrainConfig training = plain_sgd(2);
  training.batch = 3;
  expect_error([&] { ThreadGroup(kRanks).run([&](Group& g) { Trainer(backend_, smooth_model(), training, 9, &g); }); },
               "training: batch is 3 but must be a multiple of the 2 ranks");
  expect_error(
      [&] {
        ThreadGroup(kRanks).run(
            [&](Group& g) { Trainer(backend_, smooth_model(), plain_sgd(1, Estimator::nvil_scaled), 9, &g); });
      },
      "training: the estimator is nvil-scaled, whose running variance");
  ThreadGroup(kRanks).run([&](Group& g) {
    const auto backend = make_test_backend(GetParam());
    Trainer trainer(*backend, smooth_model(), plain_sgd(1), kBatch, &g);
    expect_error([&] { trainer.step(Matrix(*backend, kBatch, kDim, random_pixels(0))); },
                 "step: x is [4, 7] but the model takes [2, 7]");
  });
}

}  // namespace
}  // namespace cuvae
