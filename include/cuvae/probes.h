// log p(x|z) at the points where an estimator evaluates it besides its samples: one large batch of the decoder's
// forward pass, in slices of whole examples.
#pragma once
#include "cuvae/vae.h"

namespace cuvae {

class Probes {
 public:
  /// Of a slice, the values of the decoder's widest layer: 256 MiB of float32. That is 85,000 rows of 784 pixels, far
  /// more than it takes to fill a GPU, and small beside its memory.
  static constexpr Index kValuesOfASlice = Index{1} << 26;

  Probes() = default;  ///< of an estimator that has none
  /// Takes all memory that log_prob() needs for `batch` rows with `samples` samples each.
  Probes(const Vae& vae, Estimator estimator, Index batch, Index samples, Index values_of_a_slice = kValuesOfASlice);

  /// log p(x|z) [B * n, 1] at the probes of stats [B, 2L], whose samples were drawn with `noise`. Asynchronous.
  /// Throws Error for more rows than it was made for, and for an x of other rows than stats.
  ConstView log_prob(const Vae& vae, ConstView stats, ConstView x, const Noise& noise) const;

 private:
  Estimator estimator_ = Estimator::pathwise;
  Index batch_ = 0, of_example_ = 0;  // rows, and the probes of each
  Index slice_ = 0;                   // the examples whose probes are decoded at once
  MlpActivations decoder_;
  Buffer z_, log_p_;  // [slice * n, L], [B * n, 1]
};

}  // namespace cuvae
