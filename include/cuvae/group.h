// Ranks that train one model together. Each computes the means over its part of the batch, and the mean of these over
// the ranks is the mean over the batch.
#pragma once
#include <vector>

#include "cuvae/backend.h"

namespace cuvae {

/// A group of one has no object: a null pointer stands for it. The calls are collective: every rank makes them in the
/// same order. An error on one rank must end the waiting of the others with an error.
class Group {
 public:
  virtual ~Group() = default;
  virtual Index rank() const = 0;  ///< from 0 to size() - 1
  virtual Index size() const = 0;
  /// Replaces `n` values in the memory of the rank's backend by their means over the ranks, the same bits on each rank.
  /// Queued like an op of this backend.
  virtual void average(Backend& backend, float* values, Index n) = 0;
  virtual void average(Backend& backend, double* values, Index n) = 0;
  /// The sums of values in host memory over the ranks.
  virtual std::vector<double> sum(std::vector<double> values) = 0;
};

}  // namespace cuvae
