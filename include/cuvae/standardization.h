// Standardization: scaling the columns of data to mean 0 and standard deviation 1, and back.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/dataset.h"

namespace cuvae {

/// x' = (x - mean) / scale in each of D columns; x is in the data's units, x' in the model's. If empty, x' = x. A
/// missing value stays missing.
struct Standardization {
  std::vector<double> mean, scale;  ///< [D]
  /// [D], the share of the rows below whose value in this column is not missing; empty where no value is.
  std::vector<double> observed = {};

  /// The means and standard deviations (with N, not N - 1) of these rows, without missing values. A constant column
  /// gets scale 1. Throws Error if there are no rows, and for a column in which all their values are missing.
  static Standardization of(const Dataset& data, const std::vector<std::uint32_t>& rows);

  explicit operator bool() const { return !scale.empty(); }
  void apply(std::vector<float>& x) const;            ///< x [rows, D] to the model's units
  void undo(std::vector<float>& x) const;             ///< x' [rows, D] to the data's units
  float undo(float value, std::size_t column) const;  ///< likewise one value
  /// The data as float32 in the model's units; unchanged if there is no standardization. Throws Error, naming the
  /// place, if a result is beyond float32.
  Dataset apply(const Dataset& data) const;
  /// sum_d log scale_d in nats: log p(x) = log p(x') - log_volume(). With missing values the mean over the rows of the
  /// sums over their observed values.
  double log_volume() const;
};

}  // namespace cuvae
