// The objective whose gradient an estimator computes, in double precision. The weights in it are held fixed.
#pragma once
#include <functional>

#include "cuvae/estimator.h"
#include "gradient_test.h"

namespace cuvae::test {
using reference::Vector;

/// The weights of the objective's terms. No gradient flows through them. For each sample row, `decoder` is the weight
/// of the decoder's log p(x|z), `path` that of log w along the sample's path, `score` that of log q at the fixed
/// sample. For all rows of the batch, `entropy` is the weight of the entropy of q and `kl` that of the KL. `stats` has
/// a weight for each statistic, if each statistic has its own score.
struct Parts {
  Vector decoder, path, score;
  double entropy = 0;
  bool frozen_log_q = false;
  double kl = 0;
  Vector stats = {};
};

/// The cost of each sample: the weight of its score function for the ELBO.
inline Vector costs(const TrainConfig& t, const reference::Elbo& e) {
  Vector cost = e.log_p;
  for (std::size_t r = 0; r < cost.size() && t.cost != Cost::likelihood; ++r)
    cost[r] += e.log_p_z[r] - (t.cost == Cost::elbo ? e.log_q[r] : 0);
  return cost;
}

/// A trainer's baselines before a step: running means of the cost, after the network's baseline, if any, is subtracted.
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

/// The sum of weighted scores of each statistic, with the optimal baseline of that statistic.
inline Vector optimal_scores(const Vector& f, const Vector& stats, const reference::NoiseKey& noise, Index K) {
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

inline Parts parts(const TrainConfig& t, const reference::Elbo& e, const Baselines& baselines,
                   const reference::NoiseKey& noise) {
  const Index K = t.samples, M = t.bounds, R = kBatch * M * K;
  const double per_row = 1.0 / static_cast<double>(R), per_batch = 1.0 / static_cast<double>(kBatch * M),
               wake = 1 - double{t.sleep_share}, share = t.objective == Objective::ciwae ? double{t.elbo_share} : 0;
  Vector log_w = e.log_p;
  const Vector cost = costs(t, e);
  for (Index r = 0; r < R; ++r) log_w[r] += e.log_p_z[r] - e.log_q[r];
  const Vector w = reference::importance_weights(log_w, K).weights;
  const auto each = [&](const std::function<double(double)>& f) {
    Vector v;
    for (const double weight : w) v.push_back(per_batch * f(weight));
    return v;
  };
  const auto mixed = [&](double v) { return (1 - share) * v + share / static_cast<double>(K); };
  const Vector none(R), same(R, per_row), of_bounds = each(mixed);
  Vector weighted = of_bounds;  // of the generative network
  if (t.objective == Objective::piwae) weighted = reference::importance_weights(log_w, M * K).weights;
  if (t.objective == Objective::piwae)
    for (double& v : weighted) v /= kBatch;
  switch (estimator_of(t.objective, t.estimator)) {
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
      const Estimator weighs = has_network(t.estimator) ? Estimator::score_mean : t.estimator;
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
      return {weighted, of_bounds, none};
    case Estimator::stl_iwae:
      return {weighted, of_bounds, none, 0, true};
    case Estimator::dreg:
      return {weighted, each([&](double v) { return mixed(v * v); }), none, 0, true};
    case Estimator::rws_dreg:
      return {weighted, each([&](double v) { return wake * (v - v * v); }), none, 0, true};
    case Estimator::wake_phi:
      return {weighted, none, each([&](double v) { return wake * v; })};
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
inline Vector log_q(const Vector& z, const Vector& stats, Index samples) {
  Vector sum(z.size() / kLatent);
  for (Index i = 0; i < static_cast<Index>(z.size()); ++i) {
    const Index r = i / kLatent, at = r / samples * 2 * kLatent + i % kLatent;
    sum[r] -= (std::pow(z[i] - stats[at], 2) / std::exp(stats[at + kLatent]) + stats[at + kLatent] +
               std::log(2 * std::acos(-1.0))) /
              2;
  }
  return sum;
}

}  // namespace cuvae::test
