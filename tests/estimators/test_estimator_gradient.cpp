// Every estimator in the trainer: the gradient that one SGD step applies, against central differences in double of an
// objective in which each estimator's table says what is held fixed.
#include "estimator_objective.h"
#include "io/safetensors.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class EstimatorGradient : public OpTest {
 protected:
  /// Steps from random parameters, each against the differences at its noise.
  void expect_gradients(const VaeConfig& model, const TrainConfig& training, int steps) {
    SCOPED_TRACE(std::string(to_string(training.estimator)) + ", " + std::string(to_string(training.cost)) + ", " +
                 std::string(to_string(model.likelihood)) + ", K " + std::to_string(training.samples));
    Trainer trainer(backend_, model, training, kBatch);
    set_parameters(trainer, random_parameters(trainer.vae().layout()));

    Baselines baselines;
    for (int step = 0; step < steps; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const std::vector<float> pixels = random_pixels(model, static_cast<std::uint32_t>(step));
      const Matrix batch(backend_, kBatch, kDim, pixels);
      const Vector x = reference::widen(pixels);
      const reference::NoiseKey noise{training.seed, Stream::latent, static_cast<std::uint32_t>(step), 0,
                                      training.antithetic};
      const reference::Model reference_model(model);
      const Index K = training.samples;
      const KlWeight weight{training.beta, static_cast<std::uint32_t>(training.kl_warmup_epochs)};
      const double beta = reference::beta(weight, static_cast<std::uint32_t>(step));

      const Vector before = reference::widen(parameters(trainer.vae()));
      const reference::Elbo fixed = reference_model.elbo(before, x, K, noise);
      if (has_network(training.estimator)) baselines.network = network(trainer, x);
      const Parts p = parts(training, fixed, baselines, noise);
      const auto objective = [&](const Vector& at) {
        const reference::Elbo e = reference_model.elbo(at, x, K, noise);
        const Vector of_decoder = reference_model.log_prob(at, fixed.z, x, K),
                     of_path = reference_model.log_prob(before, e.z, x, K),
                     q_of_path = p.frozen_log_q ? log_q(e.z, fixed.stats, K) : e.log_q,
                     q_of_standing = log_q(fixed.z, e.stats, K);
        double sum = 0;
        for (std::size_t r = 0; r < p.decoder.size(); ++r)
          sum -= p.decoder[r] * of_decoder[r] + p.path[r] * (of_path[r] + beta * (e.log_p_z[r] - q_of_path[r])) +
                 p.score[r] * q_of_standing[r];
        for (Index b = 0; b < kBatch; ++b)
          for (Index l = 0; l < kLatent; ++l) sum -= p.entropy * e.stats[(2 * b + 1) * kLatent + l] / 2;
        for (const double kl : e.kl) sum += p.kl * kl;
        for (std::size_t i = 0; i < p.stats.size(); ++i) sum -= p.stats[i] * e.stats[i];
        return sum;
      };

      trainer.reset_metrics();
      trainer.step(batch);
      const Vector after = reference::widen(parameters(trainer.vae()));
      // As in the ELBO's gradient; a score's weight, nats in place of one, scales what is rounded: the costs as they
      // were before their baselines, since a difference keeps the rounding errors of what it is taken from.
      double largest = 1;
      for (const double score : p.score)
        largest = std::max(largest, std::fabs(score) * static_cast<double>(p.score.size()));
      for (const double of_stats : p.stats) largest = std::max(largest, std::fabs(of_stats) * kBatch);
      if (p.score != Vector(p.score.size()) || !p.stats.empty())
        for (const double cost : costs(training, fixed)) largest = std::max(largest, std::fabs(cost));
      expect_applied(objective, before, after, largest);
      const double want_loss = loss(training, fixed, beta);
      EXPECT_NEAR(trainer.metrics().loss, want_loss, 0x1p-19 * std::fabs(want_loss));

      baselines.take_in(baselines.rest(costs(training, fixed), K));
    }
  }

 private:
  /// What the trainer's network makes of x, from a checkpoint.
  static Vector network(Trainer& trainer, Vector x) {
    std::replace_if(
        x.begin(), x.end(), [](double v) { return std::isnan(v); }, 0.0);  // missing
    const TempDir folder;
    trainer.save(folder / "now");
    const SafetensorsFile file = SafetensorsFile::open(folder / "now");
    const auto values = [&](const std::string& name, const std::vector<Index>& shape) {
      const Tensor& t = file.require("baseline.network." + name, "F32", shape);
      const auto* data = static_cast<const float*>(t.data);
      return Vector(data, data + t.bytes / sizeof(float));
    };
    Vector hidden = reference::affine(x, values("0.weight", {100, kDim}), values("0.bias", {100}), kDim, 100);
    for (double& h : hidden) h = reference::activate(Activation::tanh, h);
    return reference::affine(hidden, values("1.weight", {1, 100}), values("1.bias", {1}), 100, 1);
  }
  static double loss(const TrainConfig& training, const reference::Elbo& e, double beta) {
    if (!is_importance_weighted(training.estimator))
      return reference::elbo_loss(e.log_p, e.kl, e.kl_dims, {static_cast<float>(beta)}, 0).loss;
    Vector log_w = e.log_p;
    for (std::size_t r = 0; r < log_w.size(); ++r) log_w[r] += e.log_p_z[r] - e.log_q[r];
    const Vector bound = reference::importance_weights(log_w, training.samples).bound;
    return -reference::moments(bound, 1)[1];
  }
};
CUVAE_ON_EVERY_BACKEND(EstimatorGradient);

TEST_P(EstimatorGradient, IsTheObjectives) {
  for (const Estimator e :
       {Estimator::total, Estimator::stl, Estimator::score, Estimator::score_mean, Estimator::rloo, Estimator::optimal,
        Estimator::optimal_shared, Estimator::nvil, Estimator::nvil_scaled, Estimator::iwae, Estimator::stl_iwae,
        Estimator::dreg, Estimator::rws_dreg, Estimator::wake_phi, Estimator::vimco, Estimator::vimco_arithmetic})
    for (const Cost cost : {Cost::elbo, Cost::joint, Cost::likelihood})
      for (const Index samples : {1, 2, 5}) {
        if (samples < traits(e).least_samples || !takes_cost(e, cost)) continue;
        for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned_per_dim})
          expect_gradients(smooth_model(likelihood), plain_sgd(samples, e, cost), 3);
      }
}

TEST_P(EstimatorGradient, OfDataWithMissingValues) {
  for (const Estimator e : {Estimator::total, Estimator::rloo, Estimator::nvil, Estimator::iwae, Estimator::dreg,
                            Estimator::wake_phi, Estimator::vimco})
    expect_gradients(with_missing_values(smooth_model(Likelihood::gaussian_learned)), plain_sgd(3, e), 3);
}

TEST_P(EstimatorGradient, OfAntitheticPairsIsTheObjectives) {
  for (const Estimator e : {Estimator::total, Estimator::stl, Estimator::score, Estimator::score_mean, Estimator::nvil})
    for (const Index samples : {2, 4}) {
      TrainConfig training = plain_sgd(samples, e);
      training.antithetic = true;
      expect_gradients(smooth_model(), training, 2);
    }
}

// beta is 0, then 0.35, then 0.7.
TEST_P(EstimatorGradient, OfAWeightedKlIsTheObjectives) {
  for (const Estimator e : {Estimator::total, Estimator::stl}) {
    TrainConfig training = plain_sgd(2, e);
    training.beta = 0.7f, training.kl_warmup_epochs = 2;
    expect_gradients(smooth_model(), training, 3);
  }
}

// One sample leaves nothing to weigh.
TEST_P(EstimatorGradient, WithOneSampleTheBoundsAreTheElbo) {
  const auto trained = [&](Estimator e) {
    Trainer trainer(backend_, smooth_model(), plain_sgd(1, e), kBatch);
    for (int step = 0; step < 3; ++step)
      trainer.step(Matrix(backend_, kBatch, kDim, random_pixels(static_cast<std::uint32_t>(step))));
    return parameters(trainer.vae());
  };
  expect_same_bits(trained(Estimator::iwae), trained(Estimator::total), "iwae against total");
  expect_same_bits(trained(Estimator::stl_iwae), trained(Estimator::stl), "stl-iwae against stl");
  expect_same_bits(trained(Estimator::dreg), trained(Estimator::stl), "dreg against stl");
}

}  // namespace
}  // namespace cuvae
