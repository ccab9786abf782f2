// Statistics of the importance weights of one example, from their logs.
#pragma once
#include <vector>

#include "cuvae/bound.h"

namespace cuvae {

/// Log weights that differ by less are equal. Log-densities in float32 of up to 1000 nats are off by as much.
inline constexpr double kEqualLogWeights = 1e-3;

/// The weights arrive in parts and are not kept, but for those in the tail: memory grows with the root of K. All sums
/// are of w divided by the largest weight so far, in double: nothing overflows. The results are NaN if a log w is NaN
/// or infinity. A log w of minus infinity is a weight of 0.
class LogWeights {
 public:
  explicit LogWeights(Index samples);
  void add(const double* log_w, Index count);

  double log_mean() const;   ///< log (1/K) sum_k w_k, over the weights so far
  double effective() const;  ///< (sum_k w_k)^2 / sum_k w_k^2
  double pareto_k() const;   ///< see ExampleBound
  ExampleBound result() const { return {log_mean(), effective(), pareto_k()}; }

 private:
  void keep(double log_w);

  std::size_t most_kept_;  // the tail, and the largest weight below it; 0 without k-hat
  Index count_ = 0;
  bool finite_ = true;
  double largest_, sum_ = 0, squares_ = 0;
  std::vector<double> kept_;  // a heap whose front is the least
};

/// The number of weights in the tail of K: ceil(min(K / 5, 3 sqrt K)).
Index tail_size(Index samples);

/// k of a generalized Pareto distribution from values above its threshold 0, in ascending order (Zhang and Stephens
/// 2009, with k of the other sign: k > 0 is a heavy tail), averaged with ten values of 1/2, as Vehtari et al. do. NaN
/// if the values are all 0.
double generalized_pareto_k(const std::vector<double>& values);

}  // namespace cuvae
