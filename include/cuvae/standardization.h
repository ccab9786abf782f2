// Columns of data brought to mean 0 and standard deviation 1, and back.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/dataset.h"

namespace cuvae {

/// x' = (x - mean) / scale in each of D columns, x in the data's units, x' in the model's; none where it is empty.
struct Standardization {
  std::vector<double> mean, scale;  ///< [D]

  /// Of these rows: their means and standard deviations (of the rows as a population: over N). A column that holds one
  /// value has scale 1. Throws Error without rows.
  static Standardization of(const Dataset& data, const std::vector<std::uint32_t>& rows);

  explicit operator bool() const { return !scale.empty(); }
  void apply(std::vector<float>& x) const;  ///< x [rows, D] to the model's units
  void undo(std::vector<float>& x) const;   ///< x' [rows, D] to the data's
  /// The data as float32 in the model's units, or as they are where there is no standardization. Throws Error, naming
  /// the place, where a value is then beyond float32.
  Dataset apply(const Dataset& data) const;
  /// sum_d log scale_d in nats: log p(x) = log p(x') - log_volume().
  double log_volume() const;
};

}  // namespace cuvae
