// Every estimator in the trainer: the gradient that one SGD step applies, against central differences in double of an
// objective in which each estimator's table says what is held fixed.
#include <functional>

#include "cuvae/estimator.h"
#include "cuvae/trainer.h"
#include "op_test.h"
#include "reference_vae.h"
#include "safetensors.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Index kBatch = 4, kDim = 7, kLatent = 3;
constexpr double kRate = 0x1p-4;  // a power of two: the step's product with it is exact

VaeConfig small_model(Likelihood likelihood) {
  VaeConfig m;
  m.data_dim = m.image_width = kDim;
  m.latent = kLatent;
  m.encoder_hidden = {5};
  m.decoder_hidden = {5};
  m.activation = Activation::tanh;
  m.likelihood = likelihood;
  return m;
}

TrainConfig plain_sgd(Estimator estimator, Cost cost, Index samples) {
  TrainConfig t;
  t.seed = 3;
  t.batch = kBatch;
  t.samples = samples;
  t.estimator = estimator;
  t.cost = cost;
  t.binarize = Binarize::none;
  t.optimizer = Optimizer::sgd;
  t.beta1 = 0;
  t.schedule.rate = kRate;
  return t;
}

/// What each sample row counts for in the objective, all held fixed: on the decoder's log p(x|z), on log w along the
/// sample's path, and on log q of the sample where it stands; on the entropies and the KLs of the batch's rows; and on
/// the statistics themselves, where each has a score of its own.
struct Parts {
  Vector decoder, path, score;
  double entropy = 0;
  bool frozen_log_q = false;
  double kl = 0;
  Vector stats = {};
};

/// What the score functions of the ELBO weigh each sample by.
Vector costs(const TrainConfig& t, const reference::Elbo& e) {
  Vector cost = e.log_p;
  for (std::size_t r = 0; r < cost.size() && t.cost != Cost::likelihood; ++r)
    cost[r] += e.log_p_z[r] - (t.cost == Cost::elbo ? e.log_q[r] : 0);
  return cost;
}

/// What a trainer's baselines were before a step: running means of the cost, less the network where there is one.
struct Baselines {
  Vector network = Vector(kBatch);
  double mean = 0, variance = 0, weight = 0;
  double now() const { return weight > 0 ? mean / weight : 0; }
  double scale() const { return weight > 0 ? 1 / std::max(1.0, std::sqrt(variance / weight)) : 1; }
  Vector rest(Vector cost, Index samples) const {
    for (Index r = 0; r < static_cast<Index>(cost.size()); ++r) cost[r] -= network[r / samples];
    return cost;
  }
  void take_in(const Vector& rest) {
    const Vector moments = reference::moments(rest, 1);
    mean = 0.9 * mean + 0.1 * moments[1], weight = 0.9 * weight + 0.1;
    variance = 0.9 * variance + 0.1 * moments[2] / moments[0];
  }
};

/// Each statistic's sum of scores, with the optimal baseline of that statistic.
Vector optimal_scores(const Vector& f, const Vector& stats, const reference::NoiseKey& noise, Index K) {
  Vector sum(stats.size());
  for (Index b = 0; b < kBatch; ++b)
    for (Index l = 0; l < kLatent; ++l) {
      const Vector row(f.begin() + b * K, f.begin() + (b + 1) * K);
      Vector by_mu, by_logvar;
      for (Index r = b * K; r < (b + 1) * K; ++r) {
        by_mu.push_back(reference::sample_normal(noise, K, kLatent, r, l));
        by_logvar.push_back(by_mu.back() * by_mu.back() - 1);
      }
      const Index at = 2 * b * kLatent + l;
      for (Index k = 0; k < K; ++k) {
        sum[at] +=
            (row[k] - reference::optimal_baseline(row, by_mu, k)) * by_mu[k] * std::exp(-stats[at + kLatent] / 2);
        sum[at + kLatent] += (row[k] - reference::optimal_baseline(row, by_logvar, k)) * by_logvar[k] / 2;
      }
    }
  return sum;
}

Parts parts(const TrainConfig& t, const reference::Elbo& e, const Baselines& baselines,
            const reference::NoiseKey& noise) {
  const Index K = t.samples, R = kBatch * K;
  const double per_row = 1.0 / static_cast<double>(R), per_batch = 1.0 / kBatch;
  Vector log_w = e.log_p;
  const Vector cost = costs(t, e);
  for (Index r = 0; r < R; ++r) log_w[r] += e.log_p_z[r] - e.log_q[r];
  const Vector w = reference::importance_weights(log_w, K).weights;
  const auto each = [&](const std::function<double(double)>& f) {
    Vector v;
    for (const double weight : w) v.push_back(per_batch * f(weight));
    return v;
  };
  const Vector none(R), same(R, per_row), weighted = each([](double v) { return v; });
  switch (t.estimator) {
    case Estimator::pathwise:
    case Estimator::total:
      return {same, same, none};
    case Estimator::stl:
      return {same, same, none, 0, true};
    case Estimator::score:
    case Estimator::score_mean:
    case Estimator::rloo:
    case Estimator::optimal:
    case Estimator::optimal_shared:
    case Estimator::nvil:
    case Estimator::nvil_scaled: {
      const Estimator weighs = is_nvil(t.estimator) ? Estimator::score_mean : t.estimator;
      Vector score = reference::score_weights(weighs, baselines.rest(cost, K), K, baselines.now(), e.score_norm);
      for (double& v : score) v *= per_row * (t.estimator == Estimator::nvil_scaled ? baselines.scale() : 1);
      Parts p{
          same, none, score, t.cost == Cost::joint ? per_batch : 0, false, t.cost == Cost::likelihood ? per_batch : 0,
          {}};
      if (t.estimator == Estimator::optimal) {
        p.score = none;
        p.stats = optimal_scores(cost, e.stats, noise, K);
        for (double& v : p.stats) v *= per_row;
      }
      return p;
    }
    case Estimator::delta:
    case Estimator::measure_valued:
    case Estimator::measure_valued_independent:
      break;
    case Estimator::iwae:
      return {weighted, weighted, none};
    case Estimator::stl_iwae:
      return {weighted, weighted, none, 0, true};
    case Estimator::dreg:
      return {weighted, each([](double v) { return v * v; }), none, 0, true};
    case Estimator::rws_dreg:
      return {weighted, each([](double v) { return v - v * v; }), none, 0, true};
    case Estimator::vimco:
    case Estimator::vimco_arithmetic: {
      Vector score = reference::score_weights(t.estimator, log_w, K, 0);
      for (double& v : score) v *= per_batch;
      return {weighted, none, score};
    }
  }
  return {};
}

/// log q(z|x) of each row.
Vector log_q(const Vector& z, const Vector& stats, Index samples) {
  Vector sum(z.size() / kLatent);
  for (Index i = 0; i < static_cast<Index>(z.size()); ++i) {
    const Index r = i / kLatent, at = r / samples * 2 * kLatent + i % kLatent;
    sum[r] -= (std::pow(z[i] - stats[at], 2) / std::exp(stats[at + kLatent]) + stats[at + kLatent] +
               std::log(2 * std::acos(-1.0))) /
              2;
  }
  return sum;
}

class EstimatorGradient : public OpTest {
 protected:
  /// Steps from random parameters, each against the differences at its noise.
  void expect_gradients(const VaeConfig& model, const TrainConfig& training, int steps) {
    SCOPED_TRACE(std::string(to_string(training.estimator)) + ", " + std::string(to_string(training.cost)) + ", " +
                 std::string(to_string(model.likelihood)) + ", K " + std::to_string(training.samples));
    Trainer trainer(backend_, model, training, kBatch);
    std::vector<float> arena(static_cast<std::size_t>(trainer.vae().layout().size()));
    const auto values = random_vector(trainer.vae().layout().size(), 21, -0.7f, 0.7f);
    for (const Parameter& p : trainer.vae().layout().parameters())
      std::copy_n(values.begin() + p.offset, p.size(), arena.begin() + p.offset);
    backend_.upload(trainer.vae().params(), arena.data(), arena.size() * sizeof(float));

    Baselines baselines;
    for (int step = 0; step < steps; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const std::vector<float> pixels = random_vector(kBatch * kDim, 22 + step, 0, 1);
      const Matrix batch(backend_, kBatch, kDim, pixels);
      const Vector x = reference::widen(pixels);
      const reference::NoiseKey noise{training.seed, Stream::latent, static_cast<std::uint32_t>(step), 0,
                                      training.antithetic};
      const reference::Model reference_model(model);
      const Index K = training.samples;

      backend_.download(arena.data(), trainer.vae().params(), arena.size() * sizeof(float));
      const Vector before = reference::widen(arena);
      const reference::Elbo fixed = reference_model.elbo(before, x, K, noise);
      if (is_nvil(training.estimator)) baselines.network = network(trainer, x);
      const Parts p = parts(training, fixed, baselines, noise);
      const auto objective = [&](const Vector& at) {
        const reference::Elbo e = reference_model.elbo(at, x, K, noise);
        const Vector of_decoder = reference_model.log_prob(at, fixed.z, x, K),
                     of_path = reference_model.log_prob(before, e.z, x, K),
                     q_of_path = p.frozen_log_q ? log_q(e.z, fixed.stats, K) : e.log_q,
                     q_of_standing = log_q(fixed.z, e.stats, K);
        double sum = 0;
        for (std::size_t r = 0; r < p.decoder.size(); ++r)
          sum -= p.decoder[r] * of_decoder[r] + p.path[r] * (of_path[r] + e.log_p_z[r] - q_of_path[r]) +
                 p.score[r] * q_of_standing[r];
        for (Index b = 0; b < kBatch; ++b)
          for (Index l = 0; l < kLatent; ++l) sum -= p.entropy * e.stats[(2 * b + 1) * kLatent + l] / 2;
        for (const double kl : e.kl) sum += p.kl * kl;
        for (std::size_t i = 0; i < p.stats.size(); ++i) sum -= p.stats[i] * e.stats[i];
        return sum;
      };
      const Vector want = central_differences(objective, before);

      trainer.reset_metrics();
      trainer.step(batch);
      backend_.download(arena.data(), trainer.vae().params(), arena.size() * sizeof(float));
      Vector got, bound;
      // As in the ELBO's gradient; a score's weight, nats in place of one, scales what is rounded.
      double largest = 1;
      for (const double score : p.score)
        largest = std::max(largest, std::fabs(score) * static_cast<double>(p.score.size()));
      for (const double of_stats : p.stats) largest = std::max(largest, std::fabs(of_stats) * kBatch);
      for (std::size_t i = 0; i < before.size(); ++i) {
        got.push_back((before[i] - double{arena[i]}) / kRate);
        bound.push_back(0x1p-24 * std::fabs(double{arena[i]}) / kRate + 80 * 0x1p-24 * (largest + std::fabs(want[i])));
      }
      expect_within(got, want, bound, "gradient");
      EXPECT_NEAR(trainer.metrics().loss, loss(training, fixed), 0x1p-19 * std::fabs(loss(training, fixed)));

      baselines.take_in(baselines.rest(costs(training, fixed), K));
    }
  }

 private:
  /// What the trainer's network makes of x, from a checkpoint.
  static Vector network(Trainer& trainer, const Vector& x) {
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
    return reference::affine(hidden, values("1.weight", {100}), values("1.bias", {1}), 100, 1);
  }
  static double loss(const TrainConfig& training, const reference::Elbo& e) {
    if (!is_importance_weighted(training.estimator)) return reference::elbo_loss(e.log_p, e.kl, e.kl_dims, {}, 0).loss;
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
        Estimator::dreg, Estimator::rws_dreg, Estimator::vimco, Estimator::vimco_arithmetic})
    for (const Cost cost : {Cost::elbo, Cost::joint, Cost::likelihood})
      for (const Index samples : {1, 2, 5}) {
        if (samples < least_samples(e) || !takes_cost(e, cost)) continue;
        for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned_per_dim})
          expect_gradients(small_model(likelihood), plain_sgd(e, cost, samples), 3);
      }
}

TEST_P(EstimatorGradient, OfAntitheticPairsIsTheObjectives) {
  for (const Estimator e : {Estimator::total, Estimator::stl, Estimator::score, Estimator::score_mean, Estimator::nvil})
    for (const Index samples : {2, 4}) {
      TrainConfig training = plain_sgd(e, Cost::elbo, samples);
      training.antithetic = true;
      expect_gradients(small_model(Likelihood::bernoulli), training, 2);
    }
}

// One sample leaves nothing to weigh.
TEST_P(EstimatorGradient, WithOneSampleTheBoundsAreTheElbo) {
  const auto trained = [&](Estimator e) {
    Trainer trainer(backend_, small_model(Likelihood::bernoulli), plain_sgd(e, Cost::elbo, 1), kBatch);
    for (int step = 0; step < 3; ++step)
      trainer.step(Matrix(backend_, kBatch, kDim, random_vector(kBatch * kDim, 22 + step, 0, 1)));
    std::vector<float> params(static_cast<std::size_t>(trainer.vae().layout().size()));
    backend_.download(params.data(), trainer.vae().params(), params.size() * sizeof(float));
    return params;
  };
  expect_same_bits(trained(Estimator::iwae), trained(Estimator::total), "iwae against total");
  expect_same_bits(trained(Estimator::stl_iwae), trained(Estimator::stl), "stl-iwae against stl");
  expect_same_bits(trained(Estimator::dreg), trained(Estimator::stl), "dreg against stl");
}

}  // namespace
}  // namespace cuvae
