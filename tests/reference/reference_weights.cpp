// Importance weights and the weights of scores, sample by sample.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "reference.h"

namespace cuvae::reference {
namespace {

double log_mean_exp(const Vector& v) {
  const double max = *std::max_element(v.begin(), v.end());
  double sum = 0;
  for (const double x : v) sum += std::exp(x - max);
  return max + std::log(sum / static_cast<double>(v.size()));
}
double mean(const Vector& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}
Vector without(Vector v, Index k) {
  v.erase(v.begin() + k);
  return v;
}

}  // namespace

ImportanceWeights importance_weights(const Vector& log_w, Index samples, double elbo_share) {
  ImportanceWeights out;
  for (auto row = log_w.begin(); row != log_w.end(); row += samples) {
    const double bound = log_mean_exp({row, row + samples});
    double squares = 0;
    for (Index k = 0; k < samples; ++k) {
      out.weights.push_back(std::exp(row[k] - bound) / static_cast<double>(samples));
      squares += std::pow(out.weights.back(), 2);
    }
    for (Index k = 0; k < samples && elbo_share > 0; ++k) {
      double& weight = out.weights[out.weights.size() - samples + k];
      const double of_elbo = elbo_share / static_cast<double>(samples);
      const double squared = of_elbo + (1 - elbo_share) * weight * weight;
      weight = of_elbo + (1 - elbo_share) * weight;
      out.path.push_back(squared / weight);
    }
    out.bound.push_back(elbo_share * mean({row, row + samples}) + (1 - elbo_share) * bound);
    out.effective.push_back(1 / squares);
  }
  return out;
}

double pareto_k(Vector log_w) {
  std::sort(log_w.begin(), log_w.end());
  const auto samples = static_cast<double>(log_w.size());
  const auto n = static_cast<std::size_t>(std::ceil(std::min(samples / 5, 3 * std::sqrt(samples))));
  const auto weight = [&](std::size_t from_top) { return std::exp(log_w[log_w.size() - 1 - from_top] - log_w.back()); };
  Vector x;  // descending
  for (std::size_t i = 0; i < n; ++i) x.push_back(weight(i) - weight(n));
  const double quartile = x[n - static_cast<std::size_t>(static_cast<double>(n) / 4 + 0.5)];
  const auto shape = [&](double b) {
    double sum = 0;
    for (const double value : x) sum += std::log(1 - b * value);
    return sum / static_cast<double>(n);
  };
  const int grid = 30 + static_cast<int>(std::floor(std::sqrt(static_cast<double>(n))));
  Vector b, profile;
  for (int j = 1; j <= grid; ++j) {
    b.push_back(1 / x.front() + (1 - std::sqrt(grid / (j - 0.5))) / 3 / quartile);
    profile.push_back(static_cast<double>(n) * (std::log(-b.back() / shape(b.back())) - shape(b.back()) - 1));
  }
  double mean = 0;
  for (int j = 0; j < grid; ++j) {
    double others = 0;  // 1 / the posterior weight
    for (const double p : profile) others += std::exp(p - profile[static_cast<std::size_t>(j)]);
    mean += b[static_cast<std::size_t>(j)] / others;
  }
  const auto count = static_cast<double>(n);
  return (count * shape(mean) + 5) / (count + 10);
}

Vector score_weights(Estimator estimator, const Vector& costs, Index samples, double baseline, const Vector& norms) {
  Vector out;
  for (auto row = costs.begin(); row != costs.end(); row += samples) {
    const Vector f(row, row + samples);
    for (Index k = 0; k < samples; ++k) {
      if (estimator == Estimator::score) out.push_back(f[k]);
      if (estimator == Estimator::score_mean) out.push_back(f[k] - baseline);
      if (estimator == Estimator::rloo) out.push_back(f[k] - mean(without(f, k)));
      if (estimator == Estimator::optimal) out.push_back(f[k] - f[0]);
      if (estimator == Estimator::optimal_shared) {
        Vector scores;
        const auto norm = norms.begin() + (row - costs.begin());
        for (Index j = 0; j < samples; ++j) scores.push_back(std::sqrt(norm[j]));
        const bool none = std::accumulate(norm, norm + samples, -norm[k]) == 0;
        out.push_back(f[k] - (none ? mean(without(f, k)) : optimal_baseline(f, scores, k)));
      }
      if (estimator == Estimator::vimco || estimator == Estimator::vimco_arithmetic) {
        Vector replaced = f;
        replaced[k] = estimator == Estimator::vimco ? mean(without(f, k)) : log_mean_exp(without(f, k));
        const double bound = log_mean_exp(f);
        out.push_back(bound - log_mean_exp(replaced) - std::exp(f[k] - bound) / static_cast<double>(samples));
      }
    }
  }
  return out;
}

}  // namespace cuvae::reference
