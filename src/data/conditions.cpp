// The conditions of a data set: Dataset::with_labels and with_conditions.
#include <algorithm>

#include "cuvae/dataset.h"
#include "cuvae/error.h"

namespace cuvae {
namespace {

constexpr std::uint8_t kOne = 255;  // uint8 values are divided by 255

void check_rows(const Dataset& data, const char* what, Index count) {
  if (count == data.rows()) return;
  throw Error(data.name() + ": has " + std::to_string(data.rows()) + " examples but there are " +
              std::to_string(count) + " " + what);
}

}  // namespace

Dataset Dataset::with_labels(const std::vector<std::uint8_t>& labels, Index classes) const {
  check_rows(*this, "labels", static_cast<Index>(labels.size()));
  if (classes == 0) classes = Index{*std::max_element(labels.begin(), labels.end())} + 1;
  std::vector<std::uint8_t> columns(labels.size() * static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= classes)
      throw Error(name_ + ": example " + std::to_string(i) + " has the label " + std::to_string(labels[i]) +
                  " but the classes are 0 to " + std::to_string(classes - 1));
    columns[i * static_cast<std::size_t>(classes) + labels[i]] = kOne;
  }
  Dataset set = *this;
  set.condition_ = ConditionKind::labels;
  set.conditions_ = std::make_shared<const Dataset>(from_memory(std::move(columns), rows_, classes));
  return set;
}

Dataset Dataset::with_conditions(const Dataset& columns) const {
  check_rows(*this, "rows of conditions", columns.rows());
  Dataset own = columns;
  if (columns.dtype() == DType::u8) {
    const auto* const values = static_cast<const std::uint8_t*>(columns.data());
    own = from_memory(std::vector<float>(values, values + columns.rows() * columns.cols()), rows_, columns.cols());
    own.name_ = columns.name_;
  }
  Dataset set = *this;
  set.condition_ = ConditionKind::columns;
  set.conditions_ = std::make_shared<const Dataset>(std::move(own));
  return set;
}

Dataset Dataset::with_conditions_of(const Dataset& other) const {
  check_rows(*this, "rows of conditions", other.rows());
  Dataset set = *this;
  set.condition_ = other.condition_;
  set.conditions_ = other.conditions_;
  return set;
}

std::vector<float> Dataset::condition_rows(Index first, Index count) const {
  std::vector<float> values;
  for (Index i = first; conditions_ != nullptr && i < first + count; ++i) {
    const std::vector<float> row = conditions_->row(i);
    values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

}  // namespace cuvae
