// One training step: the caller's batches, metrics, schedules, and steps that are not finite.
#include "cuvae/trainer.h"

#include <limits>

#include "error_text.h"
#include "io/safetensors.h"
#include "op_test.h"
#include "reference_vae.h"
#include "small_training.h"
#include "temp_dir.h"
#include "train/schedule.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class TrainerTest : public OpTest {
 protected:
  Matrix batch_of(const std::vector<float>& values) {
    return {backend_, static_cast<Index>(values.size()) / 12, 12, values};
  }
  Matrix random_batch(std::uint64_t seed = 1, float low = 0, float high = 1) {
    return batch_of(random_vector(5 * 12, seed, low, high));
  }

  /// The bytes of all tensors that an update may change.
  static std::map<std::string, std::string> learned_tensors(Trainer& trainer) {
    const TempDir folder;
    trainer.save(folder / "now");
    const SafetensorsFile file = SafetensorsFile::open(folder / "now");
    std::map<std::string, std::string> bytes;
    for (const Tensor& t : file.tensors())
      if (t.dtype == "F32") bytes[t.name] = {static_cast<const char*>(t.data), t.bytes};
    return bytes;
  }
};
CUVAE_ON_EVERY_BACKEND(TrainerTest);

// The reference code adds gradients up over the batch and starts the second moments at one.
TEST_P(TrainerTest, AdamIwaeIsThatOfTheSumOverTheBatch) {
  TrainConfig config = small_training();
  config.optimizer = Optimizer::adam_iwae;
  config.beta1 = 0.99f, config.epsilon = 1e-4f;
  config.weight_decay = config.clip_norm = 0;
  config.binarize = Binarize::none;
  Trainer trainer(backend_, small_model(), config, kSmallRows);
  reference::OptimizerState state;
  state.params = reference::widen(parameters(trainer.vae()));
  state.m = Vector(state.params.size());
  state.v = Vector(state.params.size(), 1.0);
  OptimizerStep how = optimizer_step(config, trainer.steps_per_epoch());
  how.epsilon = 1e-4f;
  for (int step = 0; step < 3; ++step) {
    const Matrix x = random_batch(static_cast<std::uint64_t>(step));
    const ConstView gradient = trainer.gradient(x);
    std::vector<float> mean(static_cast<std::size_t>(gradient.size()));
    backend_.download(mean.data(), gradient.data, mean.size() * sizeof(float));
    Vector sum = reference::widen(mean);
    for (double& g : sum) g *= static_cast<double>(config.batch);
    trainer.step(x);
    reference::optimize(how, sum, 1.0, state);
    // Parameters of order one round to 2^-24 a step; an update has a few roundings more.
    expect_close(parameters(trainer.vae()), state.params, (step + 1) * 4 * 0x1p-24, 0, "params");
  }
}

// Float32 steps of a small model: every mean agrees with the reference up to about ten roundings of its terms.
TEST_P(TrainerTest, MetricsAreTheMeansOfTheSteps) {
  TrainConfig config = small_training();
  config.samples = 3;
  config.kl_warmup_epochs = 0.25;  // beta 0, 1/2, 1
  config.binarize = Binarize::none;
  Trainer trainer(backend_, small_model(), config, kSmallRows);
  const reference::Model model(small_model());
  EXPECT_EQ(trainer.metrics().steps, 0u);
  EXPECT_TRUE(std::isnan(trainer.metrics().loss));

  Vector all_stats, kl_dims(2);
  double loss = 0, reconstruction = 0, kl = 0;
  for (std::uint32_t step = 0; step < 3; ++step) {
    const Matrix x = random_batch(step);
    const auto e = model.elbo(reference::widen(parameters(trainer.vae())), reference::widen(x.get()), 3,
                              {config.seed, Stream::latent, step});
    const auto l = reference::elbo_loss(e.log_p, e.kl, e.kl_dims, {1, 2, 0}, step);
    loss += l.loss / 3, reconstruction += l.reconstruction / 3, kl += l.kl / 3;
    for (std::size_t i = 0; i < kl_dims.size(); ++i) kl_dims[i] += e.kl_dims[i] / 3;
    all_stats.insert(all_stats.end(), e.stats.begin(), e.stats.end());
    trainer.step(x);
  }
  const Metrics m = trainer.metrics();
  EXPECT_EQ(m.steps, 3u);
  EXPECT_EQ(m.skipped, 0u);
  EXPECT_NEAR(m.loss, loss, 1e-6 * loss);
  EXPECT_NEAR(m.reconstruction, reconstruction, 1e-6 * loss);
  EXPECT_NEAR(m.kl, kl, 1e-6 * (1 + kl));
  expect_close(m.kl_dims, kl_dims, 1e-6, 1e-6, "kl_dims");
  const Vector moments = reference::moments(all_stats, 4);
  EXPECT_EQ(m.active_units, (moments[5] > 0.01 * 15) + (moments[6] > 0.01 * 15));

  trainer.reset_metrics();
  EXPECT_EQ(trainer.metrics().steps, 0u);
  EXPECT_EQ(trainer.metrics().active_units, 0);
  EXPECT_EQ(trainer.state().step, 3u);
}

TEST_P(TrainerTest, StepsOnBytesAndFloatsAreTheSame) {
  for (const Binarize binarize : {Binarize::none, Binarize::threshold, Binarize::stochastic}) {
    SCOPED_TRACE(to_string(binarize));
    TrainConfig config = small_training();
    config.binarize = binarize;
    Trainer floats(backend_, small_model(), config, 5), bytes(backend_, small_model(), config, 5);
    const Array<std::uint8_t> pixels(backend_, small_pixels(5));
    const Matrix values = batch_of(fractions(small_pixels(5)));
    for (int i = 0; i < 4; ++i) {
      floats.step(values);
      bytes.step({pixels.data(), 5, 12, DType::u8});
    }
    expect_same_bits(parameters(floats.vae()), parameters(bytes.vae()), "params");
  }
}

TEST_P(TrainerTest, AGradientChangesNothingButWhatIsAskedFor) {
  const TempDir folder;
  for (const Estimator e : {Estimator::pathwise, Estimator::score_mean, Estimator::nvil, Estimator::vimco}) {
    SCOPED_TRACE(std::string(to_string(e)));
    TrainConfig config = small_training();
    config.estimator = e, config.samples = 2;
    Trainer trainer(backend_, small_model(), config, kSmallRows);
    const Matrix x(backend_, 5, 12, random_vector(60, 1, 0, 1));
    const auto state = [&] {
      trainer.save(folder / "state");
      return file_bytes(folder / "state");
    };
    trainer.step(x);
    const std::string before = state();
    trainer.gradient(x);
    EXPECT_TRUE(state() == before);
    trainer.gradient(x, RunningMeans::update);
    EXPECT_EQ(state() == before, e == Estimator::pathwise || e == Estimator::vimco);
  }
}

TEST_P(TrainerTest, StepRefusesBatchesOfAnotherShape) {
  Trainer trainer(backend_, small_model(), small_training(), kSmallRows);
  const Matrix x(backend_, 6, 12);
  expect_error([&] { trainer.step(x); }, "step: x is [6, 12] but the model takes [5, 12]");
  expect_error([&] { trainer.step({x.data(), 5, 11}); }, "step: x is [5, 11] but the model takes [5, 12]");
  expect_error([&] { trainer.step({x.data(), 5, 12, DType::bf16}); }, "bf16");
  expect_error([&] { trainer.step({nullptr, 5, 12}); }, "not given");
  EXPECT_EQ(trainer.state().step, 0u);
}

TEST_P(TrainerTest, MeansOverNoStepsAreNotNumbers) {
  TrainConfig config = small_training();
  config.binarize = Binarize::none;
  VaeConfig model = small_model();
  model.likelihood = Likelihood::gaussian;
  Trainer trainer(backend_, model, config, kSmallRows);
  const auto expect_nothing = [&] {
    const Metrics m = trainer.metrics();
    EXPECT_EQ(m.steps, 0u);
    EXPECT_EQ(m.updates, 0u);
    EXPECT_EQ(m.active_units, 0);
    for (const double mean : {m.loss, m.reconstruction, m.kl, m.gradient_norm, m.kl_dims.at(0), m.kl_dims.at(1)})
      EXPECT_TRUE(std::isnan(mean)) << mean;
  };
  expect_nothing();
  const std::vector<float> huge(60, 1e30f);  // gives finite stats, which vary, and an infinite loss
  trainer.step(batch_of(huge));
  expect_nothing();
  EXPECT_EQ(trainer.metrics().skipped, 1u);

  // Nor do the moments of skipped steps change those of the others.
  Trainer other(backend_, model, config, kSmallRows);
  const Matrix good = random_batch();
  other.set_step(1), other.step(good);
  trainer.step(good);
  trainer.step(batch_of(huge));
  EXPECT_EQ(trainer.metrics().active_units, other.metrics().active_units);
  EXPECT_EQ(trainer.metrics().updates, 1u);
}

TEST_P(TrainerTest, StepsThatAreNotFiniteAreSkippedAndCounted) {
  TrainConfig config = small_training();
  config.binarize = Binarize::none;
  config.ema_decay = 0.9f;
  VaeConfig model = small_model();
  model.likelihood = Likelihood::gaussian_learned;
  Trainer trainer(backend_, model, config, kSmallRows);
  const Matrix good = random_batch();
  trainer.step(good);
  const auto before = learned_tensors(trainer);
  const Metrics metrics = trainer.metrics();

  std::vector<float> poisoned = good.get();
  poisoned[17] = std::numeric_limits<float>::quiet_NaN();
  const Matrix nan = batch_of(poisoned);
  poisoned[17] = 1e30f;  // its square is beyond float32
  const Matrix huge = batch_of(poisoned);
  trainer.step(nan);
  trainer.step(huge);
  EXPECT_EQ(learned_tensors(trainer), before);
  EXPECT_EQ(trainer.metrics().skipped, 2u);
  EXPECT_EQ(trainer.metrics().steps, 1u);
  EXPECT_EQ(trainer.metrics().loss, metrics.loss);
  EXPECT_EQ(trainer.metrics().gradient_norm, metrics.gradient_norm);
  EXPECT_EQ(trainer.state().skipped_in_a_row, 2u);

  trainer.step(good);
  const StepState state = trainer.state();
  EXPECT_EQ(state.step, 4u);
  EXPECT_EQ(state.updates, 2u);
  EXPECT_EQ(state.skipped, 2u);
  EXPECT_EQ(state.skipped_in_a_row, 0u);
  EXPECT_NE(learned_tensors(trainer), before);
  EXPECT_TRUE(std::isfinite(trainer.metrics().loss));
  for (float f : parameters(trainer.vae())) EXPECT_TRUE(std::isfinite(f));
}

// Epochs of seven steps; halves of a step round up.
TEST(Schedules, EpochsBecomeSteps) {
  TrainConfig config;
  config.epochs = 20;
  config.beta = 0.5f;
  config.free_bits = 0.1f;
  config.kl_warmup_epochs = 0.3;
  config.schedule = {LearningRate::Kind::cosine, 0.5, 0.25, 1.5, 0.7, 0.01, {{1, 0.1}, {3, 0.01}, {0.5, 0.001}}};
  config.clip_norm = 3, config.clip_value = 2;
  const KlWeight weight = kl_weight(config, 7);
  EXPECT_EQ(weight.beta, 0.5f);
  EXPECT_EQ(weight.free_bits, 0.1f);
  EXPECT_EQ(weight.warmup_steps, 2u);
  const OptimizerStep step = optimizer_step(config, 7);
  EXPECT_EQ(step.clip_norm, 3);
  EXPECT_EQ(step.clip_value, 2);
  const LearningRate& rate = step.learning_rate;
  EXPECT_EQ(rate.kind, LearningRate::Kind::cosine);
  EXPECT_EQ(rate.rate, 0.5f);
  EXPECT_EQ(rate.final_rate, 0.25f);
  EXPECT_EQ(rate.decay, 0.7f);
  EXPECT_EQ(rate.warmup_steps, 11u);
  EXPECT_EQ(rate.total_steps, 140u);
  EXPECT_EQ(rate.every_steps, 1u);
  ASSERT_EQ(rate.pieces, 3u);
  const std::uint32_t ends[] = {7, 28, 32};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rate.piece_end[i], ends[i]);
  EXPECT_EQ(rate.piece_rate[2], 0.001f);
  config.kl_warmup_epochs = 1e300;
  EXPECT_EQ(kl_weight(config, 7).warmup_steps, 0xffffffffu);
  config.schedule.epochs = 2.5;  // its own length
  EXPECT_EQ(optimizer_step(config, 7).learning_rate.total_steps, 18u);
}

TEST_P(TrainerTest, OutputBiasIsTheLogitOrTheMeanItself) {
  const std::vector<float> mean{0, 1, 0.5f, 0.1f, 0.9f, 0.0001f, 0.25f, 0.75f, 0.3f, 0.6f, 0.001f, 0.999f};
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian}) {
    VaeConfig model = small_model();
    model.likelihood = likelihood;
    Vae vae(backend_, model, 1);
    vae.set_output_bias(mean);
    const std::vector<float> params = parameters(vae);
    const Parameter& bias = vae.decoder().biases().back();
    for (std::size_t d = 0; d < mean.size(); ++d) {
      const double p = std::clamp(double{mean[d]}, 0.001, 0.999);
      const double want = likelihood == Likelihood::gaussian ? mean[d] : std::log(p / (1 - p));
      EXPECT_NEAR(params[bias.offset + d], want,
                  1e-4 * std::fabs(want));  // 1 - 0.999f has a relative error of 2^-24 / 0.001
    }
    expect_error([&] { vae.set_output_bias({0.5f}); }, "set_output_bias: mean has 1 values");
  }
}

// At z = 0 the hidden layer is 0, because its biases are, and the outputs are the last biases.
TEST_P(TrainerTest, OutputBiasGivesTheMeanWithEveryLikelihood) {
  const std::vector<float> mean{0.02f, 0.98f, 0.5f, 0.1f, 0.9f, 0.4f, 0.25f, 0.75f, 0.3f, 0.6f, 0.51f, 0.05f};
  for (const LikelihoodTraits& t : kLikelihoods) {
    VaeConfig model = small_model();
    model.likelihood = t.likelihood;
    model.scale = 0.25f;
    Vae vae(backend_, model, 1);
    if (t.scale == ScaleKind::output) {
      const std::vector<float> params = parameters(vae);
      for (Index d = 0; d < model.data_dim; ++d)
        EXPECT_FLOAT_EQ(params[vae.decoder().biases().back().offset + model.data_dim + d], std::log(0.25f));
    }
    vae.set_output_bias(mean);
    const std::vector<float> start = vae.decode({0.0f, 0.0f});
    for (std::size_t d = 0; d < mean.size(); ++d)  // logits up to 50, for a continuous Bernoulli's 0.02 and 0.98
      EXPECT_NEAR(start[d], mean[d], 1e-5) << t.name << ", column " << d;
  }
}

}  // namespace
}  // namespace cuvae
