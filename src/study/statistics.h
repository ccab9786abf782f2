// Confidence intervals of estimates from random draws.
#pragma once
#include <utility>
#include <vector>

namespace cuvae::bench {

/// A mean, its standard error, and the half width of its 95% interval.
struct Interval {
  double mean = 0, error = 0, half = 0;
  double low() const { return mean - half; }
  double high() const { return mean + half; }
};

/// The 97.5% quantile of Student's t with this many degrees of freedom.
double student_quantile(int degrees);

/// The interval for the values of at least two independent groups, by Student's t.
Interval group_interval(const std::vector<double>& groups);

/// Moments of a stream of numbers around a shift near their mean, which avoids cancellation.
class PowerSums {
 public:
  void add(double x);
  double count() const { return n_; }
  Interval mean() const;
  /// The standard error comes from the estimated fourth moment.
  Interval variance() const;

 private:
  double n_ = 0, shift_ = 0, s1_ = 0, s2_ = 0, s3_ = 0, s4_ = 0;
};

struct LogPoint {
  double x = 0, y = 0;
  double error = 0;  ///< of log y: the standard error of y over y
};
/// The slope of log y over log x with weights 1 / error^2, and its 95% interval. If the points scatter by more than
/// their errors, the interval is wider by the root of chi^2 over its degrees and uses Student's t. NaN for fewer than
/// two points.
Interval log_log_slope(const std::vector<LogPoint>& points);

/// |mean|^2 from the inner products of the groups' mean vectors. Products of a group with itself are left out, because
/// only they contain the noise of estimating the mean. The standard error is a jackknife over groups.
Interval squared_norm(const std::vector<std::vector<double>>& gram);

/// |mean_a - mean_b|^2 of two independent sets of groups, by the same method. `cross` [a, b] has their inner products.
Interval squared_distance(const std::vector<std::vector<double>>& gram_a,
                          const std::vector<std::vector<double>>& gram_b,
                          const std::vector<std::vector<double>>& cross);

/// <mean_a, mean_b> / |mean_b|^2, by the same method: the scale of a relative to b. It is 1 if both estimate the same
/// vector without bias.
Interval projection(const std::vector<std::vector<double>>& gram_b, const std::vector<std::vector<double>>& cross);

}  // namespace cuvae::bench
