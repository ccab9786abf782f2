// Confidence intervals of what is estimated from draws.
#pragma once
#include <utility>
#include <vector>

namespace cuvae::bench {

/// A mean with its standard error, and the half width of its 95% interval.
struct Interval {
  double mean = 0, error = 0, half = 0;
  double low() const { return mean - half; }
  double high() const { return mean + half; }
};

/// The 97.5% quantile of Student's t with this many degrees of freedom.
double student_quantile(int degrees);

/// Of independent groups' values, at least two: Student's t.
Interval group_interval(const std::vector<double>& groups);

/// Moments of a stream of numbers around a shift near their mean, so that nothing cancels.
class PowerSums {
 public:
  void add(double x);
  double count() const { return n_; }
  Interval mean() const;
  /// With the standard error that the estimated fourth moment gives.
  Interval variance() const;

 private:
  double n_ = 0, shift_ = 0, s1_ = 0, s2_ = 0, s3_ = 0, s4_ = 0;
};

struct LogPoint {
  double x = 0, y = 0;
  double error = 0;  ///< of log y: the standard error of y over y
};
/// The slope of log y over log x, points weighted by 1 / error^2, and its 95% interval: wider by the root of chi^2 over
/// its degrees, and by Student's t, where the points scatter by more than their errors. NaN for fewer than two points.
Interval log_log_slope(const std::vector<LogPoint>& points);

/// Groups' mean vectors as their inner products: |mean|^2 without the noise that estimating the mean adds, which is in
/// the products of a group with itself alone. The standard error is the jackknife's over groups.
Interval squared_norm(const std::vector<std::vector<double>>& gram);

/// Likewise |mean_a - mean_b|^2 of two independent sets of groups; `cross` [a, b] has their products.
Interval squared_distance(const std::vector<std::vector<double>>& gram_a,
                          const std::vector<std::vector<double>>& gram_b,
                          const std::vector<std::vector<double>>& cross);

/// Likewise <mean_a, mean_b> / |mean_b|^2: how much of b is in a, 1 for an unbiased estimate of the same.
Interval projection(const std::vector<std::vector<double>>& gram_b, const std::vector<std::vector<double>>& cross);

}  // namespace cuvae::bench
