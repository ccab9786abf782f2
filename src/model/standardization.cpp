#include "cuvae/standardization.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuvae/error.h"
#include "io/text.h"

namespace cuvae {

namespace {

// The number of values of each column that are not missing.
std::vector<double> counts(const Dataset& data, const std::vector<std::uint32_t>& rows) {
  const auto all = static_cast<double>(rows.size());
  std::vector<double> n(static_cast<std::size_t>(data.cols()), all);
  if (data.nans() == NaNs::refused) return n;
  for (const std::uint32_t row : rows) {
    const std::vector<float> x = data.row(row);
    for (std::size_t d = 0; d < n.size(); ++d) n[d] -= std::isnan(x[d]) ? 1 : 0;
  }
  if (const auto none = std::find(n.begin(), n.end(), 0); none != n.end())
    throw Error(data.name() + ": column " + std::to_string(none - n.begin()) +
                " cannot be standardized: all its values are missing in the training examples");
  return n;
}

}  // namespace

Standardization Standardization::of(const Dataset& data, const std::vector<std::uint32_t>& rows) {
  if (rows.empty()) throw Error(data.name() + ": no rows to standardize by");
  const auto cols = static_cast<std::size_t>(data.cols());
  const std::vector<double> n = counts(data, rows);
  constexpr float kMost = std::numeric_limits<float>::max();
  std::vector<double> mean(cols), square(cols);
  std::vector<float> least(cols, kMost), largest(cols, -kMost);
  for (const std::uint32_t row : rows) {
    const std::vector<float> x = data.row(row);
    for (std::size_t d = 0; d < cols; ++d) {
      if (std::isnan(x[d])) continue;
      mean[d] += static_cast<double>(x[d]) / n[d];
      least[d] = std::min(least[d], x[d]);
      largest[d] = std::max(largest[d], x[d]);
    }
  }
  for (const std::uint32_t row : rows) {
    const std::vector<float> x = data.row(row);
    for (std::size_t d = 0; d < cols; ++d) {
      const double deviation = std::isnan(x[d]) ? 0 : static_cast<double>(x[d]) - mean[d];
      square[d] += deviation * deviation / n[d];
    }
  }
  Standardization s{std::move(mean), std::move(square)};
  for (std::size_t d = 0; d < cols; ++d) s.scale[d] = least[d] == largest[d] ? 1.0 : std::sqrt(s.scale[d]);
  const auto all = static_cast<double>(rows.size());
  if (std::any_of(n.begin(), n.end(), [all](double count) { return count < all; }))
    for (const double count : n) s.observed.push_back(count / all);
  return s;
}

void Standardization::apply(std::vector<float>& x) const {
  for (std::size_t i = 0; *this && i < x.size(); ++i) {
    const std::size_t d = i % scale.size();
    x[i] = static_cast<float>((static_cast<double>(x[i]) - mean[d]) / scale[d]);
  }
}

void Standardization::undo(std::vector<float>& x) const {
  for (std::size_t i = 0; *this && i < x.size(); ++i) x[i] = undo(x[i], i % scale.size());
}

float Standardization::undo(float value, std::size_t column) const {
  return *this ? static_cast<float>(static_cast<double>(value) * scale[column] + mean[column]) : value;
}

Dataset Standardization::apply(const Dataset& data) const {
  if (!*this) return data;
  std::vector<float> all;
  all.reserve(static_cast<std::size_t>(data.rows() * data.cols()));
  for (Index i = 0; i < data.rows(); ++i) {
    std::vector<float> row = data.row(i);
    apply(row);
    const auto bad = std::find_if_not(row.begin(), row.end(), [](float v) { return !std::isinf(v); });
    if (bad != row.end())
      throw Error(data.name() + ": value " + std::to_string(bad - row.begin()) + " of example " + std::to_string(i) +
                  " is too far from the training examples' mean: standardized, it is beyond float32");
    all.insert(all.end(), row.begin(), row.end());
  }
  return Dataset::from_memory(std::move(all), data.rows(), data.cols(), data.nans()).with_conditions_of(data);
}

double Standardization::log_volume() const {
  double sum = 0;
  for (std::size_t d = 0; d < scale.size(); ++d) sum += std::log(scale[d]) * (observed.empty() ? 1 : observed[d]);
  return sum;
}

}  // namespace cuvae
