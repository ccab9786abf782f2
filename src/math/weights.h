// Importance weights and score weights of one batch row's K samples, for a team that shares the row: one lane on the
// CPU, a warp on a GPU. Everything is relative to the largest log-weight, so that nothing overflows or cancels.
#pragma once
#include <cmath>

#include "math/formulas.h"

namespace cuvae::math {

/// A team of one. Lanes take samples first, first + stride, ...; sum and max are over the lanes, on each of them.
struct OneLane {
  static constexpr Index first = 0, stride = 1;
  template <class T>
  CUVAE_TEAM_FN T sum(T v) const {
    return v;
  }
  CUVAE_TEAM_FN float max(float v) const { return v; }
};

/// log p(x|z) + log p(z) - log q(z|x) of row r, without the terms whose array is null.
struct LogWeight {
  const float *log_p_x, *log_p_z, *log_q;
  CUVAE_TEAM_FN float operator()(Index r) const {
    if (log_p_z == nullptr) return log_p_x[r];
    return log_p_x[r] + (log_q == nullptr ? log_p_z[r] : log_p_z[r] - log_q[r]);
  }
};

CUVAE_TEAM_FN float log_add_exp(float a, float b) {
  const float low = a < b ? a : b, high = a < b ? b : a;
  return high + log1p_unit(exp(low - high));
}

/// The largest of n values f(k).
template <class Team, class F>
CUVAE_TEAM_FN float team_max(const Team& team, Index n, F f) {
  float max = -INFINITY;
  for (Index k = team.first; k < n; k += team.stride) {
    const float v = f(k);
    max = v > max ? v : max;
  }
  return team.max(max);
}
/// The sum of n values f(k).
template <class Team, class F>
CUVAE_TEAM_FN auto team_sum(const Team& team, Index n, F f) {
  decltype(f(n)) sum{};
  for (Index k = team.first; k < n; k += team.stride) sum += f(k);
  return team.sum(sum);
}

/// weights[k] = softmax; returns the bound log mean_k w_k (Burda et al. 2015, section 3).
template <class Team, class F>
CUVAE_TEAM_FN float importance_weights(const Team& team, Index samples, F log_w, float* weights) {
  const float max = team_max(team, samples, log_w);
  const float sum = team_sum(team, samples, [&](Index k) { return exp(log_w(k) - max); });
  for (Index k = team.first; k < samples; k += team.stride) weights[k] = exp(log_w(k) - max) / sum;
  const float mean = sum / static_cast<float>(samples);
  return max + (mean > 0.0f ? log(mean) : mean);  // log() takes numbers only: NaN is passed on
}

/// After importance_weights(): the bound share * mean_k log w + (1 - share) * bound, with its derivatives by log w in
/// place of the weights u, and unless it is null path[k] = (share / K + (1 - share) u_k^2) / weights[k]; share > 0.
template <class Team, class F>
CUVAE_TEAM_FN float mix_in_elbo(const Team& team, Index samples, F log_w, float share, float bound, float* weights,
                                float* path) {
  const auto n = static_cast<float>(samples);
  const float each = share / n, rest = 1.0f - share;
  const float gap = team_sum(team, samples, [&](Index k) { return log_w(k) - bound; }) / n;  // of the ELBO
  for (Index k = team.first; k < samples; k += team.stride) {
    const float u = weights[k], weight = each + rest * u;
    if (path != nullptr) path[k] = (each + rest * u * u) / weight;
    weights[k] = weight;
  }
  return bound + share * gap;
}

/// The effective sample size 1 / sum_k weights[k]^2 (Kong 1992), each lane's weights by itself.
template <class Team>
CUVAE_TEAM_FN float effective_samples(const Team& team, Index samples, const float* weights) {
  return 1.0f / team_sum(team, samples, [&](Index k) { return weights[k] * weights[k]; });
}

/// score[k] = f_k less the mean of the others (K >= 2).
template <class Team, class F>
CUVAE_TEAM_FN void leave_one_out(const Team& team, Index samples, F f, float* score) {
  const auto n = static_cast<float>(samples);
  const float origin = f(0);  // differences of close numbers are exact
  const float mean = team_sum(team, samples, [&](Index k) { return f(k) - origin; }) / n;
  for (Index k = team.first; k < samples; k += team.stride) score[k] = (f(k) - origin - mean) * (n / (n - 1.0f));
}

/// score[k] = f_k less the least-variance constant of the other samples, whose scores have the squared norms n (K >=
/// 2). In double: what the others leave of the whole would cancel.
template <class Team, class F>
CUVAE_TEAM_FN void optimal_shared(const Team& team, Index samples, F f, const float* n, float* score) {
  const float origin = f(0);  // differences of close numbers are exact
  const auto cost = [&](Index k) { return static_cast<double>(f(k) - origin); };
  const auto weight = [&](Index k) { return static_cast<double>(n[k]); };
  OthersConstant all;
  all.sum = team_sum(team, samples, cost);
  all.weighted = team_sum(team, samples, [&](Index k) { return cost(k) * weight(k); });
  all.weight = team_sum(team, samples, weight);
  for (Index k = team.first; k < samples; k += team.stride)
    score[k] = static_cast<float>(cost(k) - all.without(cost(k), weight(k), samples));
}

/// score[k] = L - L_without_k - weight_k, L_without_k the bound with the k-th log-weight replaced by the mean of the
/// other log-weights, or (arithmetic) the k-th weight by the mean of the others (K >= 2): Mnih and Rezende 2016.
template <class Team, class F>
CUVAE_TEAM_FN void vimco(const Team& team, Index samples, bool arithmetic, F log_w, float* score) {
  const auto n = static_cast<float>(samples);
  const float max = team_max(team, samples, log_w);
  const auto below = [&](Index k) { return log_w(k) - max; };
  const float sum = team_sum(team, samples, [&](Index k) { return exp(below(k)); });
  const float total = team_sum(team, samples, below);
  // The sum of the others is the whole sum less the k-th term. Where the k-th is by far the largest, this would cancel:
  // then the others are summed.
  const float largest = team_sum(team, samples, [&](Index k) { return below(k) == 0.0f ? 1.0f : 0.0f; });
  const float second = team_max(team, samples, [&](Index k) { return below(k) == 0.0f ? -INFINITY : below(k); });
  const float rest = team_sum(team, samples, [&](Index k) { return below(k) == 0.0f ? 0.0f : exp(below(k) - second); });
  for (Index k = team.first; k < samples; k += team.stride) {
    const float d = below(k), e = exp(d);
    const float others = d == 0.0f && largest == 1.0f ? second + log(rest) : log(sum - e);
    const float without = arithmetic ? others + log(n / (n - 1.0f)) : log_add_exp(others, (total - d) / (n - 1.0f));
    score[k] = log(sum) - without - e / sum;
  }
}

/// A row's baseline: the value that is subtracted from its costs, the factor of the rest, and the scores' squared norms
/// if the estimator uses them.
struct RowBaseline {
  float less = 0.0f, scale = 1.0f;
  const float* score_norm = nullptr;
};

/// See ScoreWeights.
template <class Team, class F>
CUVAE_TEAM_FN void score_weights(ScoreBaseline kind, const Team& team, Index samples, F f, const RowBaseline& baseline,
                                 float* score) {
  float less = baseline.less;
  switch (kind) {
    case ScoreBaseline::leave_one_out:
      return leave_one_out(team, samples, f, score);
    case ScoreBaseline::score_norm:
      return optimal_shared(team, samples, f, baseline.score_norm, score);
    case ScoreBaseline::geometric:
      return vimco(team, samples, false, f, score);
    case ScoreBaseline::arithmetic:
      return vimco(team, samples, true, f, score);
    case ScoreBaseline::first_sample:
      less = f(0);
      break;
    case ScoreBaseline::none:
    case ScoreBaseline::running_mean:
    case ScoreBaseline::network:
    case ScoreBaseline::network_scaled:
      break;
  }
  for (Index k = team.first; k < samples; k += team.stride) score[k] = (f(k) - less) * baseline.scale;
}

/// The mean so far, 0 before the first batch.
CUVAE_TEAM_FN float mean_of(const RunningMean& m) {
  return m.weight > 0.0 ? static_cast<float>(m.sum / m.weight) : 0.0f;
}
/// With the mean of another batch, unless that is not finite.
CUVAE_TEAM_FN void update(RunningMean& m, double mean) {
  if (!std::isfinite(mean)) return;
  m.sum = kBaselineDecay * m.sum + (1.0 - kBaselineDecay) * mean;
  m.weight = kBaselineDecay * m.weight + (1.0 - kBaselineDecay);
}

/// Likewise with the mean and the variance of another batch.
CUVAE_TEAM_FN void update(RunningMean& m, RunningMean& v, double mean, double variance) {
  if (!std::isfinite(mean) || !std::isfinite(variance)) return;
  update(m, mean);
  update(v, variance);
}
/// 1 / max(1, the standard deviation).
CUVAE_TEAM_FN float inverse_scale(const RunningMean& variance) {
  const float v = mean_of(variance);
  return v > 1.0f ? 1.0f / sqrt(v) : 1.0f;
}
/// -2/R sum_k (f_k - less), R = `rows`: the gradient of the mean of all (f - less)^2 by this row's `less`.
template <class Team, class F>
CUVAE_TEAM_FN float squares_gradient(const Team& team, Index samples, F f, float less, Index rows) {
  return -2.0f / static_cast<float>(rows) * team_sum(team, samples, [&](Index k) { return f(k) - less; });
}

}  // namespace cuvae::math
