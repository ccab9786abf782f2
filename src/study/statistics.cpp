#include "study/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cuvae::bench {
namespace {

using Matrix = std::vector<std::vector<double>>;
constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
constexpr double kExact = 1e-6;  // the least error of a point, so that its weight stays finite

// The mean inner product of two different groups, or of a group of a and a group of b, without row or column
// `left_out`.
double mean_product(const Matrix& m, bool between, std::size_t left_row, std::size_t left_column) {
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < m.size(); ++i)
    for (std::size_t j = 0; j < m[i].size(); ++j)
      if (i != left_row && j != left_column && (between || i != j)) sum += m[i][j], ++count;
  return sum / count;  // NaN if there are no products
}

double jackknife_variance(const std::vector<double>& without) {
  const double n = static_cast<double>(without.size());
  double mean = 0, sum = 0;
  for (const double w : without) mean += w / n;
  for (const double w : without) sum += (w - mean) * (w - mean);
  return sum * (n - 1) / n;
}

Interval interval(double mean, double variance, int degrees) {
  const double error = std::sqrt(std::max(0.0, variance));
  return {mean, error, error * student_quantile(degrees)};
}

}  // namespace

// Exact values for few degrees, for which the expansion in 1/degrees (Cornish and Fisher 1960) is not accurate.
double student_quantile(int degrees) {
  static constexpr double kFew[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281};
  if (degrees < 1) return std::numeric_limits<double>::infinity();
  if (degrees <= 10) return kFew[degrees - 1];
  const double z = 1.959963984540054, n = degrees, z2 = z * z;
  return z + z * (z2 + 1) / (4 * n) + z * ((5 * z2 + 16) * z2 + 3) / (96 * n * n) +
         z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / (384 * n * n * n);
}

Interval group_interval(const std::vector<double>& groups) {
  const double n = static_cast<double>(groups.size());
  double mean = 0, squares = 0;
  for (const double g : groups) mean += g / n;
  for (const double g : groups) squares += (g - mean) * (g - mean);
  return interval(mean, squares / (n * (n - 1)), static_cast<int>(groups.size()) - 1);
}

void PowerSums::add(double x) {
  if (n_ == 0) shift_ = x;
  const double d = x - shift_, d2 = d * d;
  n_ += 1, s1_ += d, s2_ += d2, s3_ += d2 * d, s4_ += d2 * d2;
}

Interval PowerSums::mean() const {
  const double error = std::sqrt(variance().mean / n_);
  return {shift_ + s1_ / n_, error, 1.959964 * error};
}

Interval PowerSums::variance() const {
  const double m = s1_ / n_, m2 = std::max(0.0, s2_ / n_ - m * m);
  const double m4 = s4_ / n_ - 4 * m * s3_ / n_ + 6 * m * m * s2_ / n_ - 3 * m * m * m * m;
  const double error = std::sqrt(std::max(0.0, m4 - m2 * m2) / n_);
  return {m2 * n_ / (n_ - 1), error, 1.959964 * error};  // NaN for one number
}

Interval log_log_slope(const std::vector<LogPoint>& points) {
  double w = 0, mx = 0, my = 0, xx = 0, xy = 0, chi2 = 0;
  const auto weight = [](const LogPoint& p) { return std::pow(std::max(p.error, kExact), -2); };
  for (const LogPoint& p : points) w += weight(p), mx += weight(p) * std::log(p.x), my += weight(p) * std::log(p.y);
  if (points.size() < 2) return {std::nan(""), std::nan(""), std::nan("")};
  mx /= w, my /= w;
  for (const LogPoint& p : points)
    xx += weight(p) * std::pow(std::log(p.x) - mx, 2), xy += weight(p) * (std::log(p.x) - mx) * (std::log(p.y) - my);
  const double slope = xy / xx, degrees = static_cast<double>(points.size()) - 2;
  for (const LogPoint& p : points) chi2 += weight(p) * std::pow(std::log(p.y) - my - slope * (std::log(p.x) - mx), 2);
  const bool scattered = degrees > 0 && chi2 > degrees;  // then the errors are estimated from the scatter of the points
  const double error = std::sqrt((scattered ? chi2 / degrees : 1.0) / xx);
  return {slope, error, (scattered ? student_quantile(static_cast<int>(degrees)) : 1.959964) * error};
}

Interval squared_norm(const Matrix& gram) {
  std::vector<double> without;
  for (std::size_t g = 0; g < gram.size(); ++g) without.push_back(mean_product(gram, false, g, g));
  return interval(mean_product(gram, false, kNone, kNone), jackknife_variance(without),
                  static_cast<int>(gram.size()) - 1);
}

Interval squared_distance(const Matrix& gram_a, const Matrix& gram_b, const Matrix& cross) {
  const auto distance = [&](std::size_t a, std::size_t b) {
    return mean_product(gram_a, false, a, a) + mean_product(gram_b, false, b, b) - 2 * mean_product(cross, true, a, b);
  };
  std::vector<double> without_a, without_b;
  for (std::size_t g = 0; g < gram_a.size(); ++g) without_a.push_back(distance(g, kNone));
  for (std::size_t g = 0; g < gram_b.size(); ++g) without_b.push_back(distance(kNone, g));
  return interval(distance(kNone, kNone), jackknife_variance(without_a) + jackknife_variance(without_b),
                  static_cast<int>(std::min(gram_a.size(), gram_b.size())) - 1);
}

Interval projection(const Matrix& gram_b, const Matrix& cross) {
  const auto share = [&](std::size_t a, std::size_t b) {
    return mean_product(cross, true, a, b) / mean_product(gram_b, false, b, b);
  };
  std::vector<double> without_a, without_b;
  for (std::size_t g = 0; g < cross.size(); ++g) without_a.push_back(share(g, kNone));
  for (std::size_t g = 0; g < gram_b.size(); ++g) without_b.push_back(share(kNone, g));
  return interval(share(kNone, kNone), jackknife_variance(without_a) + jackknife_variance(without_b),
                  static_cast<int>(std::min(cross.size(), gram_b.size())) - 1);
}

}  // namespace cuvae::bench
