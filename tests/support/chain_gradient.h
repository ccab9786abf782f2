// The gradient that one SGD step applies to a model of any layers and prior, against central differences in double of
// the objective, and the loss. Where the two networks have an objective each, it is the sum of both, each with the
// other network held fixed.
#pragma once
#include <numeric>

#include "estimator_objective.h"

namespace cuvae::test {

inline VaeConfig with_layers(VaeConfig model, int layers) {
  const LayerConfig above[] = {{2, {4}, {3}}, {3, {}, {4}}};
  model.above.assign(above, above + layers - 1);
  return model;
}
inline VaeConfig as_ladder(VaeConfig model) {
  model.ladder = true;
  return model;
}
inline VaeConfig with_prior(VaeConfig model, Prior prior, Index components) {
  model.prior = prior;
  model.prior_components = components;
  return model;
}

/// What a sleep phase draws from the model.
struct Draws {
  std::vector<Vector> z;  // of each layer [B, L_t]
  Vector x;
};
inline Draws draws(const VaeConfig& model, const reference::Chain& chain, const Vector& arena, std::uint64_t seed,
                   std::uint32_t step) {
  Draws d;
  std::vector<Index> latents{model.latent};
  for (const LayerConfig& layer : model.above) latents.push_back(layer.latent);
  const auto normals = [&](Stream stream, Index size) {
    Vector v;
    for (Index i = 0; i < size; ++i) v.push_back(reference::normal({seed, stream, step}, i));
    return v;
  };
  d.z.resize(latents.size());
  d.z.back() = normals(Stream::sleep_latent, kBatch * latents.back());
  for (std::size_t t = latents.size() - 1; t > 0; --t) {
    const Index L = latents[t - 1];
    const Vector stats = chain.decode(arena, t, d.z[t]);
    d.z[t - 1] = normals(static_cast<Stream>(127 + t), kBatch * L);
    for (Index i = 0; i < kBatch * L; ++i)
      d.z[t - 1][i] = stats[i / L * 2 * L + i % L] + std::exp(stats[i / L * 2 * L + L + i % L] / 2) * d.z[t - 1][i];
  }
  d.x = chain.decode(arena, 0, d.z[0]);
  for (Index i = 0; i < static_cast<Index>(d.x.size()); ++i) {
    const reference::NoiseKey key{seed, Stream::sleep_data, step};
    if (model.likelihood == Likelihood::bernoulli) {
      d.x[i] = reference::uniform(key, i) <= 1 / (1 + std::exp(-d.x[i])) ? 1 : 0;
    } else {
      d.x[i] += double{model.scale} * reference::normal(key, i);
    }
  }
  return d;
}

/// -mean(log q(z|x)) of draws.
inline double sleep_loss(const reference::Chain& chain, const Vector& at, const Draws& asleep) {
  std::vector<Vector> stats;
  for (std::size_t t = 0; t < asleep.z.size(); ++t)
    stats.push_back(chain.encode(at, t, t == 0 ? asleep.x : asleep.z[t - 1]));
  double sum = 0;
  for (const double log_q : chain.log_q(asleep.z, stats, 1)) sum -= log_q / kBatch;
  return sum;
}

inline double mean_of(const Vector& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

/// The weight of the KL at a step, with one step in an epoch.
inline double beta_of(const TrainConfig& t, int step) {
  return reference::beta({t.beta, static_cast<std::uint32_t>(t.kl_warmup_epochs)}, static_cast<std::uint32_t>(step));
}

/// The mean of what is trained; of two networks, the generative one's.
inline double mean_bound(const TrainConfig& t, const Vector& log_w) {
  const double s = double{t.elbo_share};
  switch (objective_of(t)) {
    case Objective::variational:
    case Objective::elbo:
    case Objective::wake_sleep:
      break;
    case Objective::iwae:
    case Objective::miwae:
    case Objective::rws:
      return mean_of(reference::importance_weights(log_w, t.samples).bound);
    case Objective::ciwae:
      return s * mean_of(log_w) + (1 - s) * mean_of(reference::importance_weights(log_w, t.samples).bound);
    case Objective::piwae:
      return mean_of(reference::importance_weights(log_w, t.samples * t.bounds).bound);
  }
  return mean_of(log_w);
}

inline void expect_gradient(Backend& backend, Trainer& trainer, const VaeConfig& model, const TrainConfig& training,
                            int step, Baselines& baselines) {
  SCOPED_TRACE("step " + std::to_string(step));
  const std::vector<float> pixels = random_pixels(model, static_cast<std::uint32_t>(step));
  const Vector x = reference::widen(pixels);
  const reference::NoiseKey noise{training.seed, Stream::latent, static_cast<std::uint32_t>(step)};
  const reference::Chain chain(model, reference::widen(random_conditions(model)));
  const std::optional<Matrix> conditions = batch_conditions(backend, model);
  const Index S = training.samples * training.bounds;
  const double beta = beta_of(training, step);

  const Vector before = reference::widen(parameters(trainer.vae()));
  const auto fixed = chain.sample(before, x, S, noise);
  reference::Elbo e;
  e.stats = fixed.stats[0], e.z = fixed.z[0];
  e.log_p = chain.log_prob(before, fixed.z[0], x, S);
  e.log_p_z = chain.log_p_z(before, fixed.z), e.log_q = chain.log_q(fixed.z, fixed.stats, S);
  if (training.estimator == Estimator::optimal_shared) e.score_norm = fixed.score_norm;
  const Parts p = parts(training, e, baselines, noise);
  const auto standing = [&](const Vector& at) {  // the statistics given the fixed samples
    if (model.ladder) return fixed.stats;        // of a ladder no score is used
    std::vector<Vector> stats;
    for (std::size_t t = 0; t < fixed.z.size(); ++t) stats.push_back(chain.encode(at, t, t == 0 ? x : fixed.z[t - 1]));
    return stats;
  };
  const double sleep = objective_of(training) == Objective::rws ? double{training.sleep_share} : 0;
  const Draws asleep =
      sleep > 0 ? draws(model, chain, before, training.seed, static_cast<std::uint32_t>(step)) : Draws{};
  const auto objective = [&](const Vector& at) {
    const auto moved = chain.sample(at, x, S, noise);
    std::vector<Vector> of_fixed_q;  // the statistics by the encoders as they were
    for (std::size_t t = 0; t < fixed.z.size(); ++t)
      of_fixed_q.push_back(t == 0 || model.ladder ? fixed.stats[t] : chain.encode(before, t, moved.z[t - 1]));
    const Vector x_of_decoder = chain.log_prob(at, fixed.z[0], x, S), z_of_decoder = chain.log_p_z(at, fixed.z),
                 x_of_path = chain.log_prob(before, moved.z[0], x, S), z_of_path = chain.log_p_z(before, moved.z),
                 q_of_path = chain.log_q(moved.z, p.frozen_log_q ? of_fixed_q : moved.stats, S),
                 q_of_standing = chain.log_q(fixed.z, standing(at), S);
    double sum = sleep > 0 ? sleep * sleep_loss(chain, at, asleep) : 0;
    for (std::size_t r = 0; r < p.decoder.size(); ++r)
      sum -= p.decoder[r] * (x_of_decoder[r] + beta * z_of_decoder[r]) +
             p.path[r] * (x_of_path[r] + beta * (z_of_path[r] - q_of_path[r])) + p.score[r] * q_of_standing[r];
    for (Index b = 0; b < kBatch; ++b)
      for (Index l = 0; l < kLatent; ++l) sum -= p.entropy * moved.stats[0][(2 * b + 1) * kLatent + l] / 2;
    for (std::size_t i = 0; i < p.stats.size(); ++i) sum -= p.stats[i] * moved.stats[0][i];
    return sum;
  };

  trainer.reset_metrics();
  trainer.step(Matrix(backend, kBatch, kDim, pixels), view_of(conditions));
  const Vector after = reference::widen(parameters(trainer.vae()));
  // As in the gradient of the estimators; log-densities of up to three layers of order one.
  double largest = 1;
  for (const double score : p.score)
    largest = std::max(largest, std::fabs(score) * static_cast<double>(p.score.size()));
  for (const double of_stats : p.stats) largest = std::max(largest, std::fabs(of_stats) * kBatch);
  if (p.score != Vector(p.score.size()) || !p.stats.empty())
    for (const double cost : costs(training, e)) largest = std::max(largest, std::fabs(cost));
  expect_applied(objective, before, after, largest);

  Vector log_w = e.log_p;
  for (std::size_t r = 0; r < log_w.size(); ++r) log_w[r] += beta * (e.log_p_z[r] - e.log_q[r]);
  const Metrics m = trainer.metrics();
  const double want_bound = mean_bound(training, log_w);
  EXPECT_NEAR(m.loss, -want_bound, 0x1p-19 * std::fabs(want_bound));
  EXPECT_EQ(m.kl_dims.empty(), !model.has_closed_form_kl());
  if (!model.has_closed_form_kl()) {
    EXPECT_NEAR(m.kl, mean_of(e.log_q) - mean_of(e.log_p_z),
                0x1p-19 * (std::fabs(mean_of(e.log_q)) + std::fabs(mean_of(e.log_p_z))));
  }
  baselines.take_in(baselines.rest(costs(training, e), S));
}

/// Of `steps` steps, one after the other.
inline void expect_gradients(Backend& backend, const VaeConfig& model, const TrainConfig& training, int steps = 2) {
  SCOPED_TRACE(std::string(to_string(training.objective)) + ", " + std::string(to_string(training.estimator)) + ", " +
               std::string(to_string(training.cost)) + ", " + std::string(to_string(model.prior)) + ", " +
               std::to_string(model.above.size() + 1) + " layers, K " + std::to_string(training.samples) + ", M " +
               std::to_string(training.bounds));
  Trainer trainer(backend, model, training, kBatch);
  set_parameters(trainer, random_parameters(trainer.vae().layout()));
  Baselines baselines;
  for (int step = 0; step < steps; ++step) expect_gradient(backend, trainer, model, training, step, baselines);
}

}  // namespace cuvae::test
