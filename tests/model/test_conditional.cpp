// Conditional models: the gradient of a step by each objective against central differences at fixed noise, passes on
// host and device, and what does not go together.
#include "chain_gradient.h"
#include "cuvae/checkpoint.h"
#include "error_text.h"
#include "random_model.h"
#include "temp_dir.h"
#include "train/config_json.h"

namespace cuvae {
namespace {
using namespace test;

class Conditional : public OpTest {
 protected:
  std::vector<float> host(ConstView v) const {
    std::vector<float> values(static_cast<std::size_t>(v.size()));
    backend_.download(values.data(), v.data, values.size() * sizeof(float));
    return values;
  }
};
CUVAE_ON_EVERY_BACKEND(Conditional);

TrainConfig by(Objective objective, Estimator estimator, Index samples) {
  TrainConfig t = plain_sgd(samples, estimator);
  t.objective = objective;
  if (objective == Objective::piwae) t.bounds = 2;
  if (objective == Objective::rws) t.sleep_share = 0.25f;
  return t;
}

// The pathwise gradient of the ELBO is in test_elbo_gradient.cpp. Under a mixture the loss is that of the samples.
TEST_P(Conditional, HasTheGradientOfEachObjective) {
  const VaeConfig model = conditional(smooth_model()), mixture = with_prior(model, Prior::mixture, 3);
  for (const TrainConfig& t : {by(Objective::elbo, Estimator::total, 1), by(Objective::elbo, Estimator::stl, 3),
                               by(Objective::elbo, Estimator::rloo, 3), by(Objective::elbo, Estimator::optimal, 2)})
    expect_gradients(backend_, mixture, t);
  for (const TrainConfig& t :
       {by(Objective::iwae, Estimator::dreg, 3), by(Objective::iwae, Estimator::vimco, 2),
        by(Objective::piwae, Estimator::pathwise, 3), by(Objective::rws, Estimator::pathwise, 3)})
    expect_gradients(backend_, model, t);
  expect_gradients(backend_, conditional(smooth_model(Likelihood::gaussian_learned, {})),
                   by(Objective::iwae, Estimator::pathwise, 2));
}

TEST_P(Conditional, UpperLayersAndLearnedPriorsDoNotReadTheConditions) {
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const int layers : {1, 2})
      expect_gradients(backend_, conditional(with_prior(with_layers(smooth_model(), layers), prior, 3)),
                       by(Objective::iwae, Estimator::pathwise, 2));
  VaeConfig ladder = conditional(with_layers(smooth_model(), 2));
  ladder.ladder = true;
  expect_gradients(backend_, ladder, by(Objective::iwae, Estimator::pathwise, 2));
  const VaeConfig model = conditional(with_layers(smooth_model(), 3));
  expect_gradients(backend_, model, by(Objective::rws, Estimator::pathwise, 2));
  const Vae vae(backend_, model, 1);
  EXPECT_EQ(vae.layers()[0].encoder.in(), kDim + 3);
  EXPECT_EQ(vae.layers()[0].decoder.in(), kLatent + 3);
  EXPECT_EQ(vae.layers()[1].encoder.in(), kLatent);
  EXPECT_EQ(vae.layers()[1].decoder.in(), 2);
}

// A model whose samples are 0 or 1 has no path; wake-sleep draws from it under the batch's conditions.
TEST_P(Conditional, BernoulliLatentsTrain) {
  VaeConfig model = conditional(smooth_model());
  model.latent_kind = LatentKind::bernoulli;
  for (const Objective objective : {Objective::wake_sleep, Objective::rws}) {
    Trainer trainer(backend_, model, by(objective, Estimator::pathwise, 2), kBatch);
    const Matrix x(backend_, kBatch, kDim, random_pixels(0)), c(backend_, kBatch, 3, random_conditions(model)),
        other(backend_, kBatch, 3, random_vector(kBatch * 3, 28));
    const std::vector<float> first = host(trainer.gradient(x, c));
    EXPECT_EQ(first, host(trainer.gradient(x, c)));
    EXPECT_NE(first, host(trainer.gradient(x, other)));
  }
}

// Columns that are all the same move the first layers' biases, by the weights of these columns.
TEST_P(Conditional, EqualConditionsAreBiases) {
  const VaeConfig model = conditional(smooth_model());
  const Vae vae = random_model(backend_, model), plain = random_model(backend_, smooth_model());
  const std::vector<float> c{0.5f, -1, 2}, of_model = parameters(vae);
  std::vector<float> moved = parameters(plain);
  const auto copy = [&](const Mlp& from, const Mlp& to, Index width) {
    for (std::size_t i = 0; i < from.weights().size(); ++i)
      for (Index row = 0; row < to.weights()[i].rows; ++row) {
        const Parameter &w = from.weights()[i], &own = to.weights()[i];
        for (Index col = 0; col < own.cols; ++col)
          moved[own.offset + row * own.cols + col] = of_model[w.offset + row * w.cols + col];
        float& bias = moved[to.biases()[i].offset + row] = of_model[from.biases()[i].offset + row];
        for (Index j = 0; i == 0 && j < 3; ++j) bias += c[j] * of_model[w.offset + row * w.cols + width + j];
      }
  };
  copy(vae.encoder(), plain.encoder(), kDim), copy(vae.decoder(), plain.decoder(), kLatent);
  backend_.upload(const_cast<Vae&>(plain).params(), moved.data(), moved.size() * sizeof(float));
  const std::vector<float> x = random_vector(2 * kDim, 1, 0, 1), z = random_vector(2 * kLatent, 2);
  std::vector<float> both = c;
  both.insert(both.end(), c.begin(), c.end());
  // Two layers' sums of about ten terms of order one, in another order.
  expect_close(vae.encode(x, both), reference::widen(plain.encode(x)), 40 * 0x1p-24, 40 * 0x1p-24, "stats");
  expect_close(vae.decode(z, both), reference::widen(plain.decode(z)), 40 * 0x1p-24, 40 * 0x1p-24, "mean");
  expect_same_bits(vae.sample_prior(3, 4), plain.sample_prior(3, 4), "prior");
}

TEST_P(Conditional, PassesAreTheSameOnHostAndDevice) {
  const VaeConfig model = conditional(smooth_model());
  const Vae vae = random_model(backend_, model);
  const VaeActivations a = vae.allocate(kBatch, 2);
  const std::vector<float> c = random_conditions(model), x = random_pixels(0),
                           z = random_vector(2 * kBatch * kLatent, 3);
  const Matrix batch(backend_, kBatch, kDim, x), points(backend_, 2 * kBatch, kLatent, z);
  const View conditions = vae.conditions(kBatch, a);
  backend_.upload(conditions.data, c.data(), c.size() * sizeof(float));
  std::vector<float> twice;
  for (auto row = c.begin(); row != c.end(); row += 3)
    for (int k = 0; k < 2; ++k) twice.insert(twice.end(), row, row + 3);
  expect_close(host(vae.encode(batch, a)), reference::widen(vae.encode(x, c)), 1e-6, 1e-6, "stats");
  std::vector<float> logits = host(vae.decode(points, a));
  for (float& v : logits) v = 1 / (1 + std::exp(-v));
  expect_close(logits, reference::widen(vae.decode(z, twice)), 2e-6, 2e-6, "means");
  EXPECT_FALSE(Vae(backend_, smooth_model(), 1).conditions(kBatch, a));
}

TEST_P(Conditional, ConditionsThatDoNotFitAreRefused) {
  const auto trainer_of = [&](const VaeConfig& model) { return Trainer(backend_, model, plain_sgd(1), kBatch); };
  const Matrix x(backend_, kBatch, kDim, random_pixels(0)), c(backend_, kBatch, 3, random_vector(kBatch * 3, 1)),
      narrow(backend_, kBatch, 2, random_vector(kBatch * 2, 1)), few(backend_, 2, 3, random_vector(6, 1));
  Trainer with = trainer_of(conditional(smooth_model())), without = trainer_of(smooth_model());
  expect_error([&] { with.step(x); }, "step: conditions is [0, 0] but the model takes [4, 3]");
  expect_error([&] { with.gradient(x, narrow); }, "gradient: conditions is [4, 2] but the model takes [4, 3]");
  expect_error([&] { with.step(x, few); }, "step: conditions is [2, 3] but the model takes [4, 3]");
  expect_error([&] { without.step(x, c); }, "step: conditions is [4, 3] but the model takes [0, 0]");
  expect_error([&] { with.vae().decode(std::vector<float>(6)); },
               "decode: 0 values of conditions for 2 rows but the model reads 3 each");
  expect_error([&] { without.vae().encode(std::vector<float>(7), {1}); },
               "encode: 1 values of conditions for 1 rows but the model reads 0 each");
  VaeConfig model = smooth_model();
  model.condition_dim = 2;
  expect_error([&] { model.validate(); }, "model: condition_dim is 2 but must be 0 with the condition none");
  model.condition = ConditionKind::labels, model.condition_dim = 0;
  expect_error([&] { model.validate(); }, "model: condition_dim is 0 but must be 1 to 65536 with the condition labels");
}

TEST_P(Conditional, FilesKeepTheCondition) {
  for (const ConditionKind kind : {ConditionKind::none, ConditionKind::labels, ConditionKind::columns}) {
    const VaeConfig model = kind == ConditionKind::none ? smooth_model() : conditional(smooth_model(), kind);
    EXPECT_TRUE(vae_config_from_json(to_json(model)) == model);
    EXPECT_EQ(to_json(model).contains("condition"), model.is_conditional());  // older files have no such key
    const TempDir folder;
    Trainer trainer(backend_, model, plain_sgd(1), kBatch);
    trainer.save(folder / "last.safetensors");
    EXPECT_TRUE(read_checkpoint_info(folder / "last.safetensors").model == model);
    expect_same_bits(parameters(load_vae(backend_, folder / "last.safetensors")), parameters(trainer.vae()), "loaded");
  }
}

}  // namespace
}  // namespace cuvae
