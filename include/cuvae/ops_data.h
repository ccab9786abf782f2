// The ops of data on their way into a model. Notation and rules are those of cuvae/ops.h, which includes this header.
#pragma once
#include "cuvae/types.h"
#include "cuvae/view.h"

namespace cuvae {

class Backend;

/// x = rows of pixels chosen by `rows`, binarized in the same pass. The uniform of a stochastic binarization has index
/// (noise.first_row + b) * D + d and gives 1 where u <= pixel, so that 0 and 1 are exact. In both binarizations NaN, a
/// missing value where the model takes them, stays NaN, and another pixel outside [0, 1] gives an infinity. The entries
/// of rows.order must be below N; they are not checked.
struct GatherBatch {
  static constexpr const char* name = "gather_batch";
  ConstView pixels = {};  ///< [N, D], u8 (divided by 255) or f32
  BatchRows rows = {};
  Binarize binarize = Binarize::none;
  Noise noise = {};
  View x = {};  ///< [B, D] [A]
  void check(const Backend& backend) const;
};

/// y = x, but 0 where x is NaN: what an encoder reads of data with missing values (Mattei and Frellsen 2019).
struct FillMissing {
  static constexpr const char* name = "fill_missing";
  ConstView x = {};  ///< [B, D] [A]
  View y = {};       ///< [B, D] [A]; may be x
  void check(const Backend& backend) const;
};

}  // namespace cuvae
