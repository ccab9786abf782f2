// Sums of evaluations, in double precision.
#pragma once
#include <cmath>
#include <limits>

namespace cuvae {

/// log sum exp, one term after the other. Nothing overflows.
class LogSum {
 public:
  void add(double v) {
    if (v == -std::numeric_limits<double>::infinity()) return;
    if (v > most_) sum_ *= std::exp(most_ - v), most_ = v;
    sum_ += std::exp(v - most_);
  }
  double value() const { return most_ + std::log(sum_); }  ///< minus infinity without terms

 private:
  double most_ = -std::numeric_limits<double>::infinity(), sum_ = 0;
};

/// A mean and its standard error, s / sqrt(N) with N - 1 in s^2 (Welford 1962). The error of one value is NaN.
class MeanAndError {
 public:
  void add(double value) {
    const double deviation = value - mean_;
    mean_ += deviation / ++count_;
    squares_ += deviation * (value - mean_);
  }
  double mean() const { return mean_; }
  double error() const { return std::sqrt(squares_ / (count_ - 1) / count_); }

 private:
  double count_ = 0, mean_ = 0, squares_ = 0;
};

}  // namespace cuvae
