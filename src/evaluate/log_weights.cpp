#include "evaluate/log_weights.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace cuvae {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

Index tail_size(Index samples) {
  const auto k = static_cast<double>(samples);
  return static_cast<Index>(std::ceil(std::min(0.2 * k, 3 * std::sqrt(k))));
}

LogWeights::LogWeights(Index samples)
    : most_kept_(samples < kLeastParetoSamples ? 0 : static_cast<std::size_t>(tail_size(samples)) + 1),
      largest_(-kInfinity) {
  kept_.reserve(most_kept_);
}

void LogWeights::add(const double* log_w, Index count) {
  count_ += count;
  const auto is_finite = [](double v) { return v < kInfinity; };  // a weight: not NaN, and not infinite
  finite_ = finite_ && std::all_of(log_w, log_w + count, is_finite);
  if (!finite_ || count == 0) return;
  if (const double most = *std::max_element(log_w, log_w + count); most > largest_) {
    const double scale = std::exp(largest_ - most);
    sum_ *= scale;
    squares_ *= scale * scale;
    largest_ = most;
  }
  for (const double* v = log_w; v != log_w + count; ++v) {
    const double w = *v > -kInfinity ? std::exp(*v - largest_) : 0;
    sum_ += w;
    squares_ += w * w;
    keep(*v);
  }
}

void LogWeights::keep(double log_w) {
  if (most_kept_ == 0) return;
  if (kept_.size() == most_kept_) {
    if (log_w <= kept_.front()) return;
    std::pop_heap(kept_.begin(), kept_.end(), std::greater<>());
    kept_.pop_back();
  }
  kept_.push_back(log_w);
  std::push_heap(kept_.begin(), kept_.end(), std::greater<>());
}

double LogWeights::log_mean() const {
  if (!finite_ || count_ == 0) return kNaN;
  return largest_ + std::log(sum_ / static_cast<double>(count_));
}

double LogWeights::effective() const { return finite_ ? sum_ * sum_ / squares_ : kNaN; }

double LogWeights::pareto_k() const {
  if (!finite_ || most_kept_ == 0 || kept_.size() < most_kept_) return kNaN;
  std::vector<double> values = kept_;
  std::sort(values.begin(), values.end());
  if (values.back() - values.front() < kEqualLogWeights) return kNaN;
  const double threshold = values.front(), at_threshold = std::exp(threshold - largest_);
  values.erase(values.begin());
  for (double& v : values) {  // w less the weight at the threshold; nearby ones without cancellation
    const double difference = v - threshold;
    v = difference < 1 ? at_threshold * std::expm1(difference) : std::exp(v - largest_) - at_threshold;
    if (v == 0 && difference > 0) return kInfinity;  // too small for double next to the largest weight
  }
  return generalized_pareto_k(values);
}

double generalized_pareto_k(const std::vector<double>& x) {
  const double most = x.back();
  if (!(most > 0)) return kNaN;
  const auto n = static_cast<double>(x.size());
  // The first quartile; the least value that is not 0 where ties with the threshold are below it.
  double quartile = x[static_cast<std::size_t>(std::floor(n / 4 + 0.5)) - 1];
  if (quartile == 0) quartile = *std::upper_bound(x.begin(), x.end(), 0.0);
  const auto mean_log = [&](double theta) {  // k, given theta = -k / sigma
    double sum = 0;
    for (const double v : x) sum += std::log1p(-theta * v);
    return sum / n;
  };
  const int points = 30 + static_cast<int>(std::sqrt(n));
  std::vector<double> thetas, log_likelihoods;
  for (int j = 1; j <= points; ++j) {
    const double theta = 1 / most + (1 - std::sqrt(points / (j - 0.5))) / (3 * quartile);
    if (theta == 0) continue;  // an exponential; its neighbours stand for it
    const double k = mean_log(theta);
    thetas.push_back(theta);
    log_likelihoods.push_back(n * (std::log(-theta / k) - k - 1));
  }
  const double best = *std::max_element(log_likelihoods.begin(), log_likelihoods.end());
  double sum = 0, mean = 0;
  for (std::size_t j = 0; j < thetas.size(); ++j) {
    const double weight = std::exp(log_likelihoods[j] - best);
    sum += weight;
    mean += weight * thetas[j];
  }
  const double k = mean_log(mean / sum);
  return (n * k + 5) / (n + 10);
}

}  // namespace cuvae
