// Mean and variance of draws, and their standard errors.
#pragma once
#include <cmath>
#include <vector>

namespace cuvae::test {

struct MomentsOf {
  double mean = 0, variance = 0, fourth = 0, count = 0;
  explicit MomentsOf(const std::vector<double>& draws) : count(static_cast<double>(draws.size())) {
    for (const double x : draws) mean += x / count;
    for (const double x : draws) variance += std::pow(x - mean, 2) / count, fourth += std::pow(x - mean, 4) / count;
  }
  /// The standard errors of the mean and of the variance. The latter uses the estimated fourth moment.
  double mean_error() const { return std::sqrt(variance / count); }
  double variance_error() const { return std::sqrt((fourth - variance * variance) / count); }
};

}  // namespace cuvae::test
