// Models of several latent layers, and learned priors: the gradient that one SGD step applies, against central
// differences in double of the objective of each estimator, and the loss.
#include <numeric>

#include "estimator_objective.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

VaeConfig with_layers(VaeConfig model, int layers) {
  const LayerConfig above[] = {{2, {4}, {3}}, {3, {}, {4}}};
  model.above.assign(above, above + layers - 1);
  return model;
}
VaeConfig with_prior(VaeConfig model, Prior prior, Index components) {
  model.prior = prior;
  model.prior_components = components;
  return model;
}

class ChainGradient : public OpTest {
 protected:
  void expect_gradients(const VaeConfig& model, const TrainConfig& training, int steps = 2) {
    SCOPED_TRACE(std::string(to_string(training.estimator)) + ", " + std::string(to_string(training.cost)) + ", " +
                 std::string(to_string(model.prior)) + ", " + std::to_string(model.above.size() + 1) + " layers, K " +
                 std::to_string(training.samples));
    Trainer trainer(backend_, model, training, kBatch);
    set_parameters(trainer, random_parameters(trainer.vae().layout()));
    Baselines baselines;
    for (int step = 0; step < steps; ++step) expect_gradient(trainer, model, training, step, baselines);
  }

 private:
  void expect_gradient(Trainer& trainer, const VaeConfig& model, const TrainConfig& training, int step,
                       Baselines& baselines) {
    SCOPED_TRACE("step " + std::to_string(step));
    const std::vector<float> pixels = random_pixels(static_cast<std::uint32_t>(step));
    const Vector x = reference::widen(pixels);
    const reference::NoiseKey noise{training.seed, Stream::latent, static_cast<std::uint32_t>(step)};
    const reference::Chain chain(model);
    const Index K = training.samples;

    const Vector before = reference::widen(parameters(trainer.vae()));
    const auto fixed = chain.sample(before, x, K, noise);
    reference::Elbo e;
    e.stats = fixed.stats[0], e.z = fixed.z[0];
    e.log_p = chain.log_prob(before, fixed.z[0], x, K);
    e.log_p_z = chain.log_p_z(before, fixed.z), e.log_q = chain.log_q(fixed.z, fixed.stats, K);
    if (training.estimator == Estimator::optimal_shared)
      e.score_norm = reference::sample_latent(fixed.stats[0], noise, K, kLatent).score_norm;
    const Parts p = parts(training, e, baselines, noise);
    const auto objective = [&](const Vector& at) {
      const auto moved = chain.sample(at, x, K, noise);
      const Vector x_of_decoder = chain.log_prob(at, fixed.z[0], x, K), z_of_decoder = chain.log_p_z(at, fixed.z),
                   x_of_path = chain.log_prob(before, moved.z[0], x, K), z_of_path = chain.log_p_z(before, moved.z),
                   q_of_path = chain.log_q(moved.z, p.frozen_log_q ? fixed.stats : moved.stats, K),
                   q_of_standing = chain.log_q(fixed.z, moved.stats, K);
      double sum = 0;
      for (std::size_t r = 0; r < p.decoder.size(); ++r)
        sum -= p.decoder[r] * (x_of_decoder[r] + z_of_decoder[r]) +
               p.path[r] * (x_of_path[r] + z_of_path[r] - q_of_path[r]) + p.score[r] * q_of_standing[r];
      for (Index b = 0; b < kBatch; ++b)
        for (Index l = 0; l < kLatent; ++l) sum -= p.entropy * moved.stats[0][(2 * b + 1) * kLatent + l] / 2;
      for (std::size_t i = 0; i < p.stats.size(); ++i) sum -= p.stats[i] * moved.stats[0][i];
      return sum;
    };
    const Vector want = central_differences(objective, before);

    trainer.reset_metrics();
    trainer.step(Matrix(backend_, kBatch, kDim, pixels));
    const Vector after = reference::widen(parameters(trainer.vae()));
    // As in the gradient of the estimators; log-densities of up to three layers of order one.
    double largest = 1;
    for (const double score : p.score)
      largest = std::max(largest, std::fabs(score) * static_cast<double>(p.score.size()));
    for (const double of_stats : p.stats) largest = std::max(largest, std::fabs(of_stats) * kBatch);
    if (p.score != Vector(p.score.size()) || !p.stats.empty())
      for (const double cost : costs(training, e)) largest = std::max(largest, std::fabs(cost));
    Vector got, bound;
    for (std::size_t i = 0; i < before.size(); ++i) {
      got.push_back((before[i] - after[i]) / kRate);
      bound.push_back(0x1p-24 * std::fabs(after[i]) / kRate + 80 * 0x1p-24 * (largest + std::fabs(want[i])));
    }
    expect_within(got, want, bound, "gradient");

    Vector log_w = e.log_p;
    for (std::size_t r = 0; r < log_w.size(); ++r) log_w[r] += e.log_p_z[r] - e.log_q[r];
    const Vector of_rows =
        is_importance_weighted(training.estimator) ? reference::importance_weights(log_w, K).bound : log_w;
    const auto mean = [](const Vector& v) {
      return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
    };
    const Metrics m = trainer.metrics();
    EXPECT_NEAR(m.loss, -mean(of_rows), 0x1p-19 * std::fabs(mean(of_rows)));
    EXPECT_NEAR(m.kl, mean(e.log_q) - mean(e.log_p_z),
                0x1p-19 * (std::fabs(mean(e.log_q)) + std::fabs(mean(e.log_p_z))));
    EXPECT_TRUE(m.kl_dims.empty());
    baselines.take_in(baselines.rest(costs(training, e), K));
  }
};
CUVAE_ON_EVERY_BACKEND(ChainGradient);

TEST_P(ChainGradient, OfSeveralLayers) {
  for (const int layers : {2, 3})
    for (const Estimator e : {Estimator::total, Estimator::stl, Estimator::iwae, Estimator::stl_iwae})
      for (const Index samples : {1, 3}) expect_gradients(with_layers(smooth_model(), layers), plain_sgd(samples, e));
}

TEST_P(ChainGradient, OfSeveralLayersUnderALearnedPrior) {
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const Estimator e : {Estimator::total, Estimator::stl_iwae})
      expect_gradients(with_prior(with_layers(smooth_model(Likelihood::gaussian_learned), 2), prior, 3),
                       plain_sgd(2, e));
}

TEST_P(ChainGradient, OfALearnedPrior) {
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const Index components : {1, 4})
      for (const Estimator e :
           {Estimator::total, Estimator::stl, Estimator::score, Estimator::score_mean, Estimator::rloo,
            Estimator::optimal, Estimator::optimal_shared, Estimator::iwae, Estimator::stl_iwae, Estimator::dreg,
            Estimator::rws_dreg, Estimator::vimco, Estimator::vimco_arithmetic})
        expect_gradients(with_prior(smooth_model(), prior, components), plain_sgd(3, e));
  TrainConfig joint = plain_sgd(2, Estimator::rloo, Cost::joint);
  expect_gradients(with_prior(smooth_model(), Prior::mixture, 3), joint);
}

// With one layer and a mixture of one standard normal, the estimates of the KL are those under the standard normal.
TEST_P(ChainGradient, AMixtureOfOneStandardNormalIsTheStandardNormal) {
  for (const Estimator e : {Estimator::total, Estimator::iwae, Estimator::dreg}) {
    const auto gradient = [&](const VaeConfig& model) {
      Trainer trainer(backend_, model, plain_sgd(2, e), kBatch);
      std::vector<float> start(static_cast<std::size_t>(trainer.vae().layout().size()));
      const std::vector<float> first = random_parameters(parameter_layout(smooth_model()));
      std::copy(first.begin(), first.end(), start.begin());
      set_parameters(trainer, start);
      const ConstView g = trainer.gradient(Matrix(backend_, kBatch, kDim, random_pixels(0)));
      std::vector<float> values(static_cast<std::size_t>(g.size()));
      backend_.synchronize();
      backend_.download(values.data(), g.data, values.size() * sizeof(float));
      values.resize(first.size());
      return values;
    };
    expect_close(gradient(with_prior(smooth_model(), Prior::mixture, 1)), reference::widen(gradient(smooth_model())),
                 100 * 0x1p-24, 100 * 0x1p-24, std::string(to_string(e)));
  }
}

}  // namespace
}  // namespace cuvae
