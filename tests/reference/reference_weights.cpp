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
