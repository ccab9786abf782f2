// log p(x|z) at the additional points (probes) of some estimators, by the decoder's forward pass on one large batch.
// The batch is computed in slices of whole examples.
#pragma once
#include "cuvae/vae.h"

namespace cuvae {

class Probes {
 public:
  /// The size of a slice: values of the decoder's widest layer, 256 MiB of float32. That is 85,000 rows of 784 pixels,
  /// which is far more than a GPU needs to be busy, and small compared with its memory.
  static constexpr Index kValuesOfASlice = Index{1} << 26;

  Probes() = default;  ///< for an estimator without probes
  /// Allocates all memory that log_prob() needs for `batch` rows with `samples` samples each.
  Probes(const Vae& vae, Estimator estimator, Index batch, Index samples, Index values_of_a_slice = kValuesOfASlice);

  /// log p(x|z) [B * n, 1] at the probes of stats [B, 2L]. `noise` must be that of the samples, `conditions` [B, C]
  /// those of a conditional model. Asynchronous. Throws Error for more rows than it was made for, or if x, stats and
  /// conditions have different numbers of rows.
  ConstView log_prob(const Vae& vae, ConstView stats, ConstView x, const Noise& noise, ConstView conditions = {}) const;

 private:
  Estimator estimator_ = Estimator::pathwise;
  Index batch_ = 0, of_example_ = 0;  // rows, and the number of probes of each
  Index slice_ = 0;                   // examples in a slice
  MlpActivations decoder_;
  Buffer z_, input_, log_p_;  // [slice * n, L], of conditional models [slice * n, L + C], [B * n, 1]
};

}  // namespace cuvae
