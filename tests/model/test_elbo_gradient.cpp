// The gradient of the whole ELBO, from one SGD step, against central differences of the reference's loss with the same
// noise.
#include <functional>
#include <numeric>

#include "gradient_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Index kStepsPerEpoch = 2;

class ElboGradient : public OpTest {
 protected:
  using Arena = std::vector<float>;
  using Adjust = std::function<void(Arena&)>;

  /// Steps from random parameters, which `adjust` may change, each against the differences at its noise, or, where
  /// values lie `outside` of their clamps, which differences do not see, against those of linear_in_stats().
  void expect_gradients(const VaeConfig& model, const TrainConfig& training, int steps = 1, const Adjust& adjust = {},
                        bool outside = false) {
    SCOPED_TRACE(std::string(to_string(model.activation)) + ", " + std::string(to_string(model.likelihood)) + ", " +
                 std::to_string(model.encoder_hidden.size()) + " hidden, K " + std::to_string(training.samples));
    Trainer trainer(backend_, model, training, kBatch * kStepsPerEpoch);
    Arena start = random_parameters(trainer.vae().layout());
    if (adjust) adjust(start);
    set_parameters(trainer, start);
    for (int step = 0; step < steps; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      expect_gradient(trainer, model, training, static_cast<std::uint32_t>(step), outside);
    }
  }

 private:
  // A parameter after the step is rounded to 2^-24 of itself, which the division by the rate enlarges. The gradient
  // itself passes at most eight layers whose sums have at most 8 terms of order one, some ten roundings each.
  void expect_gradient(Trainer& trainer, const VaeConfig& model, const TrainConfig& training, std::uint32_t step,
                       bool outside) {
    const std::vector<float> pixels = random_pixels(model, step);
    const Matrix batch(backend_, kBatch, kDim, pixels);
    const Vector x =
        reference::gather_batch(reference::widen(pixels), kDim, reference::batch_rows({}, kBatch, 0, 0, kBatch),
                                training.binarize, {training.seed, Stream::binarize, step});
    const KlWeight weight{training.beta, static_cast<std::uint32_t>(training.kl_warmup_epochs * kStepsPerEpoch),
                          training.free_bits};
    const reference::Model reference_model(model, reference::widen(random_conditions(model)));
    const std::optional<Matrix> conditions = batch_conditions(backend_, model);
    const auto loss = [&](const Vector& arena) {
      const auto e = reference_model.elbo(arena, x, training.samples, {training.seed, Stream::latent, step});
      kl_dims_ = e.kl_dims;
      return reference::elbo_loss(e.log_p, e.kl, e.kl_dims, weight, step).loss;
    };

    const Arena before = parameters(trainer.vae());
    trainer.reset_metrics();
    trainer.step(batch, view_of(conditions));
    const Arena after = parameters(trainer.vae());
    const double loss_before = loss(reference::widen(before));
    const Vector want = outside ? linear_in_stats(model, training, weight, before, x, step)
                                : central_differences(loss, reference::widen(before));
    Vector got, bound;
    for (std::size_t i = 0; i < before.size(); ++i) {
      got.push_back((double{before[i]} - double{after[i]}) / kRate);
      bound.push_back(0x1p-24 * std::fabs(double{after[i]}) / kRate +
                      80 * 0x1p-24 * (largest_dstats_ + std::fabs(want[i])));
    }
    expect_within(got, want, bound, "gradient");
    EXPECT_NEAR(trainer.metrics().loss, loss_before, 0x1p-20 * std::fabs(loss_before));
    EXPECT_NEAR(trainer.metrics().gradient_norm, std::sqrt(dot(want, want)), 1e-5 * std::sqrt(dot(want, want)));
  }

  // The loss's gradient by the statistics as the reference has it, and then differences of a function that is linear in
  // them. A log scale beyond its clamp: twice the differences at the bound, of which one side is flat.
  Vector linear_in_stats(const VaeConfig& model, const TrainConfig& training, const KlWeight& weight,
                         const Arena& arena, const Vector& x, std::uint32_t step) {
    const Index K = training.samples;
    const reference::NoiseKey noise{training.seed, Stream::latent, step};
    const reference::Model reference_model(model);
    const Vector at = reference::widen(arena);
    const reference::Elbo fixed = reference_model.elbo(at, x, K, noise);
    const auto reconstruction = [&](const Vector& parameters, const Vector& z) {
      const Vector log_p = reference_model.log_prob(parameters, z, x, K);
      return -std::accumulate(log_p.begin(), log_p.end(), 0.0) / static_cast<double>(log_p.size());
    };
    const Vector dz = central_differences([&](const Vector& z) { return reconstruction(at, z); }, fixed.z);
    const Vector dstats =
        reference::latent_backward(fixed.stats, noise, dz, weight, fixed.kl_dims, 1.0 / kBatch, K, kLatent);
    for (const double d : dstats) largest_dstats_ = std::max(largest_dstats_, std::fabs(d));
    Vector want = central_differences(
        [&](const Vector& v) {
          return dot(dstats, reference_model.elbo(v, x, 1, noise).stats) + reconstruction(v, fixed.z);
        },
        at);
    const Parameter last = parameter_layout(model).parameters().back();
    for (Index i = last.offset; last.name == "log_scale" && i < last.offset + last.size(); ++i)
      if (at[i] > kLogScaleMax) {
        Vector held = at;
        held[i] = kLogScaleMax;
        want[i] = 2 * central_differences([&](const Vector& v) { return reconstruction(v, fixed.z); }, held)[i];
      }
    return want;
  }

 protected:
  Vector kl_dims_;  // of the last step
  double largest_dstats_ = 1;
};
CUVAE_ON_EVERY_BACKEND(ElboGradient);

TEST_P(ElboGradient, EveryActivationAndDepth) {
  for (const Activation act : {Activation::identity, Activation::relu, Activation::tanh, Activation::softplus,
                               Activation::silu, Activation::gelu, Activation::elu, Activation::leaky_relu})
    for (const std::vector<Index>& hidden : {std::vector<Index>{}, {5}, {6, 4}})
      for (const Index samples : {1, 3}) {
        VaeConfig model = smooth_model(Likelihood::bernoulli, hidden);
        model.activation = act;
        expect_gradients(model, plain_sgd(samples));
      }
}

TEST_P(ElboGradient, EveryLikelihood) {
  for (const LikelihoodTraits& t : kLikelihoods)
    for (const Index samples : {1, 3}) {
      VaeConfig model = smooth_model(t.likelihood);
      model.scale = 0.8f;
      if (t.values == 256) largest_dstats_ = 255;  // the terms of its derivatives: see the bounds of test_log_prob
      expect_gradients(model, plain_sgd(samples), 2);
    }
}

TEST_P(ElboGradient, OfConditionalModels) {
  for (const std::vector<Index>& hidden : {std::vector<Index>{}, {5}})
    for (const Index samples : {1, 3})
      for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned})
        expect_gradients(conditional(smooth_model(likelihood, hidden)), plain_sgd(samples), 2);
}

TEST_P(ElboGradient, OfDataWithMissingValues) {
  for (const LikelihoodTraits& t : kLikelihoods) {
    VaeConfig model = with_missing_values(smooth_model(t.likelihood));
    model.scale = 0.8f;
    if (t.values == 256) largest_dstats_ = 255;
    for (const Index samples : {1, 3}) expect_gradients(model, plain_sgd(samples), 2);
  }
  TrainConfig training = plain_sgd(2);
  training.binarize = Binarize::stochastic;
  expect_gradients(with_missing_values(smooth_model()), training, 2);
  expect_gradients(with_missing_values(conditional(smooth_model())), plain_sgd(2), 2);
}

TEST_P(ElboGradient, StochasticBinarization) {
  TrainConfig training = plain_sgd(2);
  training.binarize = Binarize::stochastic;
  expect_gradients(smooth_model(), training, 3);
}

TEST_P(ElboGradient, BetaAndItsWarmup) {
  TrainConfig training = plain_sgd(1);
  training.beta = 0.5f;
  expect_gradients(smooth_model(), training);
  training.kl_warmup_epochs = 2;  // beta 0, 1/8, 1/4, 3/8, 1/2, 1/2
  expect_gradients(smooth_model(), training, 6);
}

TEST_P(ElboGradient, FreeBits) {
  TrainConfig training = plain_sgd(1);
  training.free_bits = 0.12f;
  training.beta = 0.5f;
  expect_gradients(smooth_model(), training);
  const auto below = std::count_if(kl_dims_.begin(), kl_dims_.end(), [](double k) { return k < 0.12; });
  EXPECT_GT(below, 0);
  EXPECT_LT(below, kLatent);
}

// A log variance outside its clamp has the value at the clamp. Its gradient comes from the KL and leads back inside. At
// the upper limit the KL is e^15 / 2; beta is small there, because the differences would otherwise be lost in the loss.
TEST_P(ElboGradient, LogVarianceOutsideOfItsClamp) {
  const VaeConfig model = smooth_model();
  for (const auto& [logvar, beta] : {std::pair{-20.0f, 0.5f}, {20.0f, 0x1p-12f}}) {
    SCOPED_TRACE("logvar " + std::to_string(logvar));
    TrainConfig training = plain_sgd(1);
    training.beta = beta;
    const auto start_outside = [&, value = logvar](Arena& arena) {
      const ParameterLayout layout = parameter_layout(model);
      const Parameter& bias = layout.parameters()[3];
      ASSERT_EQ(bias.name, "encoder.1.bias");
      arena[bias.offset + kLatent] = value;
    };
    expect_gradients(model, training, 1, start_outside, true);
  }
}

TEST_P(ElboGradient, LogScaleOutsideOfItsClamp) {
  const VaeConfig model = smooth_model(Likelihood::gaussian_learned_per_dim);
  const auto start_outside = [&](Arena& arena) {
    const ParameterLayout layout = parameter_layout(model);
    arena[layout.parameters().back().offset] = kLogScaleMax + 1;
  };
  expect_gradients(model, plain_sgd(2), 1, start_outside, true);
}

// Every slice starts on a 64-byte boundary. The floats between slices must never change.
TEST_P(ElboGradient, GapsOfTheArenaStayZero) {
  TrainConfig training = plain_sgd(1);
  training.optimizer = Optimizer::adamw;
  training.weight_decay = 0.1f;
  Trainer trainer(backend_, smooth_model(), training, kBatch);
  const Matrix x(backend_, kBatch, kDim, random_vector(kBatch * kDim, 23, 0, 1));
  for (int i = 0; i < 3; ++i) trainer.step(x);
  Arena arena = parameters(trainer.vae());
  for (const Parameter& p : trainer.vae().layout().parameters()) std::fill_n(arena.begin() + p.offset, p.size(), 0.0f);
  for (float f : arena) EXPECT_EQ(f, 0.0f);
}

}  // namespace
}  // namespace cuvae
