// Sigmoid belief networks: the gradient that one SGD step applies, against central differences in double of the
// objective of each estimator at fixed samples; its mean, against the exact gradient by enumeration; wake-sleep.
#include <numeric>

#include "estimator_objective.h"
#include "reference_belief.h"

namespace cuvae {
namespace {
using namespace test;
using reference::BeliefNetwork;
using reference::Vector;

VaeConfig belief_network(int layers) {
  VaeConfig model = smooth_model();
  const LayerConfig above[] = {{2, {4}, {3}}, {3, {}, {4}}};
  model.above.assign(above, above + layers - 1);
  model.latent_kind = LatentKind::bernoulli;
  return model;
}

class BeliefGradient : public OpTest {
 protected:
  void expect_gradients(const VaeConfig& model, const TrainConfig& training, int steps = 2) {
    SCOPED_TRACE(std::string(to_string(training.estimator)) + ", " + std::to_string(model.above.size() + 1) +
                 " layers, K " + std::to_string(training.samples));
    Trainer trainer(backend_, model, training, kBatch);
    set_parameters(trainer, random_parameters(trainer.vae().layout()));
    Baselines baselines;
    for (int step = 0; step < steps; ++step) expect_gradient(trainer, model, training, step, baselines);
  }

  /// The gradient of the trainer's next step, as of plain SGD.
  template <class F>
  void expect_step(Trainer& trainer, const std::vector<float>& pixels, F objective, double largest) {
    const Vector before = reference::widen(parameters(trainer.vae()));
    trainer.step(Matrix(backend_, kBatch, kDim, pixels));
    const Vector after = reference::widen(parameters(trainer.vae()));
    expect_applied(objective, before, after, largest);
  }

 private:
  void expect_gradient(Trainer& trainer, const VaeConfig& model, const TrainConfig& training, int step,
                       Baselines& baselines) {
    SCOPED_TRACE("step " + std::to_string(step));
    const std::vector<float> pixels = random_pixels(model, static_cast<std::uint32_t>(step));
    const Vector x = reference::widen(pixels), before = reference::widen(parameters(trainer.vae()));
    const reference::NoiseKey noise{training.seed, Stream::latent, static_cast<std::uint32_t>(step)};
    const BeliefNetwork net(model);
    const Index K = training.samples;

    const auto fixed = net.sample(before, x, K, noise);
    reference::Elbo e;
    e.log_p = net.log_prob(before, fixed.z[0], x, K);
    e.log_p_z = net.log_p_z(before, fixed.z), e.log_q = net.log_q(fixed.z, fixed.logits, K);
    e.score_norm.resize(e.log_p.size());
    for (std::size_t t = 0; t < fixed.z.size(); ++t)
      for (std::size_t i = 0; i < fixed.z[t].size(); ++i) {
        const std::size_t L = fixed.z[t].size() / e.log_p.size(), row = i / L,
                          of_logits = t == 0 ? row / static_cast<std::size_t>(K) : row;
        e.score_norm[row] +=
            std::pow(reference::bernoulli_score(fixed.logits[t][of_logits * L + i % L], fixed.z[t][i]), 2);
      }
    TrainConfig shared = training;  // the optimal baseline of each logit is in `of_logits`
    if (training.estimator == Estimator::optimal) shared.estimator = Estimator::score;
    Parts p = parts(shared, e, baselines, noise);
    Vector of_logits;
    if (training.estimator == Estimator::optimal) {
      of_logits = reference::bernoulli_backward(p.score, true, fixed.logits[0], fixed.z[0], K, kLatent);
      p.score.assign(p.score.size(), 0);
    }
    const auto objective = [&](const Vector& at) {
      std::vector<Vector> logits;
      for (std::size_t t = 0; t < fixed.z.size(); ++t) logits.push_back(net.encode(at, t, t == 0 ? x : fixed.z[t - 1]));
      const Vector log_p = net.log_prob(at, fixed.z[0], x, K), log_p_z = net.log_p_z(at, fixed.z),
                   log_q = net.log_q(fixed.z, logits, K);
      double sum = 0;
      for (std::size_t r = 0; r < p.decoder.size(); ++r)
        sum -= p.decoder[r] * (log_p[r] + log_p_z[r]) + p.score[r] * log_q[r];
      for (std::size_t i = 0; i < of_logits.size(); ++i) sum += of_logits[i] * logits[0][i];
      return sum;
    };
    double largest = 1;
    for (const double score : p.score)
      largest = std::max(largest, std::fabs(score) * static_cast<double>(p.score.size()));
    for (const double cost : costs(training, e)) largest = std::max(largest, std::fabs(cost));
    trainer.reset_metrics();
    expect_step(trainer, pixels, objective, largest);

    Vector log_w = e.log_p;
    for (std::size_t r = 0; r < log_w.size(); ++r) log_w[r] += e.log_p_z[r] - e.log_q[r];
    const Vector of_rows =
        is_importance_weighted(training.estimator) ? reference::importance_weights(log_w, K).bound : log_w;
    const double mean = std::accumulate(of_rows.begin(), of_rows.end(), 0.0) / static_cast<double>(of_rows.size());
    EXPECT_NEAR(trainer.metrics().loss, -mean, 0x1p-19 * std::fabs(mean));
    baselines.take_in(baselines.rest(costs(training, e), K));
  }
};
CUVAE_ON_EVERY_BACKEND(BeliefGradient);

TEST_P(BeliefGradient, OfEachEstimator) {
  for (const int layers : {1, 2, 3})
    for (const Estimator e :
         {Estimator::score, Estimator::score_mean, Estimator::rloo, Estimator::optimal, Estimator::optimal_shared,
          Estimator::vimco, Estimator::vimco_arithmetic, Estimator::wake_phi}) {
      if (e == Estimator::optimal && layers > 1) continue;
      expect_gradients(belief_network(layers), plain_sgd(3, e));
    }
}

TEST_P(BeliefGradient, OfDataWithMissingValues) {
  for (const Estimator e : {Estimator::rloo, Estimator::vimco})
    expect_gradients(with_missing_values(belief_network(2)), plain_sgd(3, e), 2);
}

TEST_P(BeliefGradient, OfOneSample) {
  for (const int layers : {1, 2}) expect_gradients(belief_network(layers), plain_sgd(1, Estimator::score));
}

// Every step is of the same x, many times. The mean over steps is within five of its standard errors, estimated from
// the steps; with 30 of them, the estimate is within a factor 1.5 of the truth in all but 1e-4 of cases.
TEST_P(BeliefGradient, IsUnbiased) {
  constexpr Index kCopies = 128, kSteps = 30;
  const std::vector<float> x = random_vector(kDim, 22, 0, 1);
  std::vector<float> copies;
  for (Index i = 0; i < kCopies; ++i) copies.insert(copies.end(), x.begin(), x.end());
  const Matrix batch(backend_, kCopies, kDim, copies);
  for (const int layers : {1, 2})
    for (const Estimator e : {Estimator::score, Estimator::rloo, Estimator::optimal, Estimator::optimal_shared,
                              Estimator::nvil, Estimator::vimco, Estimator::vimco_arithmetic}) {
      if (e == Estimator::optimal && layers > 1) continue;
      SCOPED_TRACE(std::string(to_string(e)) + ", " + std::to_string(layers) + " layers");
      VaeConfig model = belief_network(layers);
      const BeliefNetwork net(model);
      TrainConfig training = plain_sgd(2, e);
      training.batch = kCopies;
      Trainer trainer(backend_, model, training, kCopies);
      const std::vector<float> arena = random_parameters(trainer.vae().layout());
      set_parameters(trainer, arena);
      const Index of_bound = is_importance_weighted(e) ? 2 : 1;
      const Vector want = central_differences(
          [&](const Vector& at) { return -net.bound(at, reference::widen(x), of_bound); }, reference::widen(arena));
      Vector sum(arena.size()), squares(arena.size());
      for (std::uint32_t step = 0; step < kSteps; ++step) {
        trainer.set_step(step);
        const ConstView g = trainer.gradient(batch);
        std::vector<float> values(static_cast<std::size_t>(g.size()));
        backend_.synchronize();
        backend_.download(values.data(), g.data, values.size() * sizeof(float));
        for (std::size_t i = 0; i < values.size(); ++i)
          sum[i] += double{values[i]}, squares[i] += double{values[i]} * double{values[i]};
      }
      Vector mean, bound;
      for (std::size_t i = 0; i < sum.size(); ++i) {
        mean.push_back(sum[i] / kSteps);
        const double variance = std::max(0.0, squares[i] / kSteps - mean[i] * mean[i]) / (kSteps - 1);
        bound.push_back(1.5 * 5 * std::sqrt(variance) + 1e-6);  // and float32's roundings
      }
      expect_within(mean, want, bound, "mean gradient");
    }
}

// Awake, the generative network explains x and z of the data; asleep, the inference network explains the z of a draw of
// the model by what the draw has below it.
TEST_P(BeliefGradient, OfWakeSleep) {
  for (const int layers : {1, 2, 3}) {
    SCOPED_TRACE(std::to_string(layers) + " layers");
    const VaeConfig model = belief_network(layers);
    TrainConfig training = plain_sgd(2);
    training.objective = Objective::wake_sleep;
    Trainer trainer(backend_, model, training, kBatch);
    set_parameters(trainer, random_parameters(trainer.vae().layout()));
    const BeliefNetwork net(model);
    for (std::uint32_t step = 0; step < 2; ++step) {
      const std::vector<float> pixels = random_pixels(step);
      const Vector x = reference::widen(pixels), before = reference::widen(parameters(trainer.vae()));
      const auto fixed = net.sample(before, x, 2, {training.seed, Stream::latent, step});
      const auto draw = [&](Stream stream, Vector logits) {
        for (std::size_t i = 0; i < logits.size(); ++i)
          logits[i] = reference::uniform({training.seed, stream, step}, i) <= 1 / (1 + std::exp(-logits[i])) ? 1 : 0;
        return logits;
      };
      Vector prior;
      for (Index b = 0; b < kBatch; ++b)
        for (const double logit : net.prior_logits(before)) prior.push_back(logit);
      std::vector<Vector> z(static_cast<std::size_t>(layers));
      z.back() = draw(Stream::sleep_latent, prior);
      for (std::size_t t = z.size() - 1; t > 0; --t)
        z[t - 1] = draw(static_cast<Stream>(127 + t), net.decode(before, t, z[t]));
      const Vector dreamt = draw(Stream::sleep_data, net.decode(before, 0, z[0]));
      const auto objective = [&](const Vector& at) {
        double sum = 0;
        const Vector log_p = net.log_prob(at, fixed.z[0], x, 2), log_p_z = net.log_p_z(at, fixed.z);
        for (std::size_t r = 0; r < log_p.size(); ++r)
          sum -= (log_p[r] + log_p_z[r]) / static_cast<double>(log_p.size());
        std::vector<Vector> logits;
        for (std::size_t t = 0; t < z.size(); ++t) logits.push_back(net.encode(at, t, t == 0 ? dreamt : z[t - 1]));
        for (const double log_q : net.log_q(z, logits, 1)) sum -= log_q / kBatch;
        return sum;
      };
      expect_step(trainer, pixels, objective, 4);
    }
  }
}

}  // namespace
}  // namespace cuvae
