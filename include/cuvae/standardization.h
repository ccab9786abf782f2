// Standardization: scaling the columns of data to mean 0 and standard deviation 1, and back.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/dataset.h"

namespace cuvae {

/// x' = (x - mean) / scale in each of D columns; x is in the data's units, x' in the model's. If empty, x' = x.
struct Standardization {
  std::vector<double> mean, scale;  ///< [D]

  /// The means and standard deviations (with N, not N - 1) of these rows. A constant column gets scale 1. Throws Error
  /// if there are no rows.
  static Standardization of(const Dataset& data, const std::vector<std::uint32_t>& rows);

  explicit operator bool() const { return !scale.empty(); }
  void apply(std::vector<float>& x) const;  ///< x [rows, D] to the model's units
  void undo(std::vector<float>& x) const;   ///< x' [rows, D] to the data's units
  /// The data as float32 in the model's units; unchanged if there is no standardization. Throws Error, naming the
  /// place, if a result is beyond float32.
  Dataset apply(const Dataset& data) const;
  /// sum_d log scale_d in nats: log p(x) = log p(x') - log_volume().
  double log_volume() const;
};

}  // namespace cuvae
