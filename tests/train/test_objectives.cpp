// Runs by each objective: the same bytes again and after a stop, replayed, from a file; and the settings that do not go
// together.
#include <atomic>

#include "cuvae/checkpoint.h"
#include "cuvae/estimator.h"
#include "error_text.h"
#include "gradient_test.h"
#include "temp_dir.h"
#include "train/config_json.h"

namespace cuvae {
namespace {
using namespace test;

TrainConfig with_objective(TrainConfig t, Objective objective, Estimator estimator = Estimator::pathwise) {
  t.objective = objective;
  t.estimator = estimator;
  t.samples = 2;
  if (objective == Objective::miwae || objective == Objective::piwae) t.bounds = 3;
  if (objective == Objective::ciwae) t.elbo_share = 0.25f;
  if (objective == Objective::rws) t.sleep_share = 0.25f;
  return t;
}
constexpr std::pair<Objective, Estimator> kObjectives[] = {
    {Objective::miwae, Estimator::pathwise}, {Objective::miwae, Estimator::vimco},
    {Objective::ciwae, Estimator::stl},      {Objective::ciwae, Estimator::dreg},
    {Objective::piwae, Estimator::pathwise}, {Objective::piwae, Estimator::dreg},
    {Objective::rws, Estimator::pathwise},   {Objective::rws, Estimator::rws_dreg}};

std::string trace(const TrainConfig& t) {
  return std::string(to_string(t.objective)) + ", " + std::string(to_string(t.estimator));
}

class Objectives : public OpTest {
 protected:
  std::string trained(const VaeConfig& model, const TrainConfig& config, std::uint64_t stop_at) {
    const TempDir folder;
    const Dataset data = small_data();
    std::atomic<bool> stop{false};
    FitOptions options{folder.path(), [&](const Progress& p) { stop = p.step == stop_at; }, &stop};
    Trainer first(backend_, model, config, data);
    if (first.fit(data, options) == Outcome::interrupted) {
      stop = false, stop_at = 0;
      EXPECT_EQ(Trainer::resume(backend_, folder / "last.safetensors").fit(data, options), Outcome::finished);
    } else {
      EXPECT_EQ(stop_at, 0u);
    }
    return file_bytes(folder / "last.safetensors");
  }
};
CUVAE_ON_EVERY_BACKEND(Objectives);

TEST_P(Objectives, ARunRepeatsAndAStoppedOneEndsTheSame) {
  for (const auto& [objective, estimator] : kObjectives) {
    const TrainConfig config = with_objective(small_training(), objective, estimator);
    SCOPED_TRACE(trace(config));
    const std::string whole = trained(small_model(), config, 0);
    EXPECT_TRUE(whole == trained(small_model(), config, 0)) << "again";
    for (const std::uint64_t at : {1, 11}) EXPECT_TRUE(whole == trained(small_model(), config, at)) << at;
  }
}

TEST_P(Objectives, ReplayingIsTheSameAsCallingEachStep) {
  for (const auto& [objective, estimator] : kObjectives) {
    const TrainConfig config = with_objective(small_training(), objective, estimator);
    SCOPED_TRACE(trace(config));
    const Array<std::uint8_t> pixels(backend_, small_pixels(config.batch));
    const ConstView x{pixels.data(), config.batch, 12, DType::u8};
    Trainer called(backend_, small_model(), config, config.batch);
    Trainer replayed(backend_, small_model(), config, config.batch);
    Recording recording;
    for (int i = 0; i < 6; ++i) {
      called.step(x);
      backend_.replay(recording, [&] { replayed.step(x); });
    }
    expect_same_bits(parameters(replayed.vae()), parameters(called.vae()), "parameters");
    EXPECT_EQ(replayed.metrics().loss, called.metrics().loss);
    EXPECT_EQ(called.metrics().steps, 6u);
    EXPECT_EQ(called.metrics().updates, 6u);
  }
}

// Each step is counted once, also by two phases of the data.
TEST_P(Objectives, MetricsAreThoseOfTheSamples) {
  const auto measured = [&](const TrainConfig& config) {
    Trainer trainer(backend_, smooth_model(), config, kBatch);
    set_parameters(trainer, random_parameters(trainer.vae().layout()));
    trainer.step(Matrix(backend_, kBatch, kDim, random_pixels(0)));
    return trainer.metrics();
  };
  const Metrics want = measured(plain_sgd(6, Estimator::iwae));
  for (const Objective objective : {Objective::miwae, Objective::piwae}) {
    const Metrics got = measured(with_objective(plain_sgd(2), objective));
    EXPECT_EQ(got.steps, 1u);
    EXPECT_EQ(got.reconstruction, want.reconstruction);
    EXPECT_EQ(got.kl, want.kl);
    EXPECT_EQ(got.kl_dims, want.kl_dims);
    EXPECT_EQ(got.active_units, want.active_units);
    if (objective == Objective::piwae) {
      EXPECT_EQ(got.loss, want.loss);
    } else {
      EXPECT_GT(got.loss, want.loss);  // the mean of logarithms is below the logarithm of the mean
    }
  }
}

TEST_P(Objectives, FilesKeepThem) {
  for (const auto& [objective, estimator] : kObjectives) {
    const TrainConfig config = resolved(with_objective(small_training(), objective, estimator));
    SCOPED_TRACE(trace(config));
    EXPECT_TRUE(train_config_from_json(to_json(config)) == config);
  }
  // Today's files have no new key, and the objective's old name is read.
  for (const Estimator e : all_estimators()) {
    TrainConfig config = small_training();
    config.samples = 2, config.estimator = e;
    const nlohmann::json j = to_json(config);
    for (const char* key : {"objective", "bounds", "elbo_share", "sleep_share"}) EXPECT_FALSE(j.contains(key)) << key;
  }
  nlohmann::json old = to_json(small_training());
  old["objective"] = "variational";
  EXPECT_TRUE(train_config_from_json(old) == small_training());
}

TEST_P(Objectives, ARunKeepsItsObjective) {
  const auto refused = [&](const TrainConfig& made, const TrainConfig& other, const char* text) {
    Trainer trainer(backend_, small_model(), made, kSmallRows);
    expect_error([&] { trainer.configure(other); }, std::string("configure: ") + text);
  };
  const TrainConfig miwae = with_objective(small_training(), Objective::miwae),
                    ciwae = with_objective(small_training(), Objective::ciwae),
                    rws = with_objective(small_training(), Objective::rws);
  TrainConfig other = miwae;
  other.bounds = 2;
  refused(miwae, other, "bounds is 2 but the trainer was made with 3");
  other = miwae, other.objective = Objective::piwae;
  refused(miwae, other, "objective is piwae but the trainer was made with miwae");
  other = ciwae, other.elbo_share = 0.5f;
  refused(ciwae, other, "elbo_share is 0.5 but the trainer was made with 0.25");
  other = rws, other.sleep_share = 0.5f;
  refused(rws, other, "sleep_share is 0.5 but the trainer was made with 0.25");
  // The same by another name changes nothing.
  other = small_training();
  other.samples = 2, other.estimator = Estimator::iwae;
  Trainer trainer(backend_, small_model(), other, kSmallRows);
  other.objective = Objective::iwae, other.estimator = Estimator::pathwise;
  EXPECT_NO_THROW(trainer.configure(other));
}

TEST_P(Objectives, WhatDoesNotGoTogetherIsNamed) {
  const auto refused = [&](const char* text, const auto& change) {
    TrainConfig training = plain_sgd(2);
    VaeConfig model = smooth_model();
    change(model, training);
    expect_error([&] { Trainer(backend_, model, training, kBatch); }, std::string("training: ") + text);
  };
  const auto pair = [&](Objective o, Estimator e, const char* text) {
    refused(text, [&](VaeConfig&, TrainConfig& t) { t.objective = o, t.estimator = e; });
  };
  pair(Objective::elbo, Estimator::iwae,
       "estimator is iwae but must be pathwise, total, stl, score, score-mean, rloo, ");
  pair(Objective::iwae, Estimator::rloo,
       "estimator is rloo but must be pathwise, stl, iwae, stl-iwae, dreg, vimco or vimco-arithmetic for the objective "
       "iwae");
  pair(Objective::miwae, Estimator::rws_dreg,
       "estimator is rws-dreg but must be pathwise, stl, iwae, stl-iwae, dreg, ");
  pair(Objective::ciwae, Estimator::vimco,
       "estimator is vimco but must be pathwise, stl, iwae, stl-iwae or dreg for the objective ciwae");
  pair(Objective::rws, Estimator::dreg,
       "estimator is dreg but must be pathwise, rws-dreg or wake-phi for the objective rws");
  refused("bounds is 2 but must be 1 for the objective iwae: only miwae and piwae take several",
          [](VaeConfig&, TrainConfig& t) { t.bounds = 2, t.estimator = Estimator::dreg; });
  refused("bounds is 0 but must be 1 to 2147483647", [](VaeConfig&, TrainConfig& t) { t.bounds = 0; });
  refused("batch * samples * bounds is ",
          [](VaeConfig&, TrainConfig& t) { t.objective = Objective::miwae, t.bounds = 0x7fffffff; });
  refused("elbo_share is 0.25 but must be 0.5 for the objective elbo: it is that of ciwae",
          [](VaeConfig&, TrainConfig& t) { t.elbo_share = 0.25f; });
  refused("elbo_share is 1.5 but must be from 0 to 1",
          [](VaeConfig&, TrainConfig& t) { t.objective = Objective::ciwae, t.elbo_share = 1.5f; });
  refused("sleep_share is 0.5 but must be 0 for the objective iwae: it is that of rws",
          [](VaeConfig&, TrainConfig& t) { t.objective = Objective::iwae, t.sleep_share = 0.5f; });
  refused("beta is 2 but must be 1", [](VaeConfig&, TrainConfig& t) { t.objective = Objective::ciwae, t.beta = 2; });
  refused("samples is 1 but must be at least 2 with the estimator vimco", [](VaeConfig&, TrainConfig& t) {
    t.objective = Objective::miwae, t.estimator = Estimator::vimco, t.samples = 1, t.bounds = 4;
  });
  refused("samples is 1 but must be at least 2 with the estimator wake-phi",
          [](VaeConfig&, TrainConfig& t) { t.objective = Objective::rws, t.samples = 1; });
  refused("antithetic is true but must be false with the estimator iwae",
          [](VaeConfig&, TrainConfig& t) { t.objective = Objective::miwae, t.antithetic = true; });
  refused("the objective is rws with a sleep_share, which draws from a standard normal, but the prior is mixture",
          [](VaeConfig& m, TrainConfig& t) {
            m.prior = Prior::mixture, m.prior_components = 2;
            t.objective = Objective::rws, t.sleep_share = 0.5f;
          });
  refused("the estimator is optimal, whose baselines need several samples of each layer, but 2 latent layers have one",
          [](VaeConfig& m, TrainConfig& t) {
            m.above = {{2, {}, {}}};
            t.objective = Objective::elbo, t.estimator = Estimator::optimal;
          });
}

}  // namespace
}  // namespace cuvae
