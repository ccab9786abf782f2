#include "cuvae/dataset.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <system_error>
#include <utility>

#include "cuvae/error.h"
#include "data/bytes/mapped_file.h"
#include "data/formats/folder.h"
#include "data/formats/read_matrix.h"

namespace cuvae {
namespace {

// `dims` begins with N. height * width * channels is always the product of the other dimensions.
ImageShape image_shape(const std::vector<Index>& dims) {
  const Index cols = std::accumulate(dims.begin() + 1, dims.end(), Index{1}, std::multiplies<>());
  if (dims.size() == 2) {
    const Index side = std::llround(std::sqrt(static_cast<double>(cols)));
    return side * side == cols ? ImageShape{side, side} : ImageShape{1, cols};
  }
  // Three channels are colors. Other channels are gray: [N, C, H, W] below each other, [N, H, W, C] within a row.
  const bool channels_first = dims.size() == 4 && dims[1] <= 4 && dims[3] > 4;
  if (channels_first && dims[1] == 3) return {dims[2], dims[3], 3, true};
  if (dims.size() == 4 && dims[3] == 3) return {dims[1], dims[2], 3, false};
  const Index height = channels_first ? dims[1] * dims[2] : dims[1];
  return {height, cols / height};
}

void check_finite(std::span<const float> values, Index cols, const std::string& name, NaNs nans) {
  const auto bad = std::find_if(values.begin(), values.end(), [nans](float value) {
    return nans == NaNs::missing ? std::isinf(value) : !std::isfinite(value);
  });
  if (bad == values.end()) return;
  const Index at = bad - values.begin();
  throw Error(name + ": value " + std::to_string(at % cols) + " of example " + std::to_string(at / cols) + " is " +
              std::to_string(*bad) + ", but must be finite");
}

void check_count(std::size_t count, Index rows, Index cols) {
  Index size = 0;
  if (rows > 0 && cols > 0 && !__builtin_mul_overflow(rows, cols, &size) && count == static_cast<std::size_t>(size))
    return;
  throw Error("dataset: " + std::to_string(count) + " values do not fill [" + std::to_string(rows) + ", " +
              std::to_string(cols) + "]");
}

void check_index(const char* what, Index index, Index count) {
  if (index >= 0 && index < count) return;
  throw Error(std::string("dataset: ") + what + " is " + std::to_string(index) + " but must be from 0 to " +
              std::to_string(count - 1));
}

}  // namespace

Dataset Dataset::open(const std::filesystem::path& path, Split split, const std::vector<Index>& widths, NaNs nans) {
  std::error_code ignored;  // if this fails, opening the file fails too and reports the reason
  const Matrix matrix = read_matrix(is_directory(path, ignored) ? find_images(path, split) : path, widths, nans);
  const ImageShape image = image_shape(matrix.dims);
  Dataset set;
  set.name_ = matrix.name;
  set.rows_ = matrix.dims[0];
  set.cols_ = image.height * image.width * image.channels;
  set.image_ = image;
  set.dtype_ = matrix.values.dtype;
  set.owner_ = matrix.values.owner;
  set.data_ = matrix.values.data;
  set.nans_ = nans;
  if (set.dtype_ == DType::f32) {
    check_finite({static_cast<const float*>(set.data_), static_cast<std::size_t>(set.rows_ * set.cols_)}, set.cols_,
                 set.name_, nans);
  }
  return set;
}

template <typename Value>
Dataset Dataset::wrap(std::vector<Value> values, Index rows, Index cols) {
  check_count(values.size(), rows, cols);
  const auto owner = std::make_shared<const std::vector<Value>>(std::move(values));
  const ImageShape image = image_shape({rows, cols});
  Dataset set;
  set.owner_ = owner;
  set.data_ = owner->data();
  set.rows_ = rows;
  set.cols_ = cols;
  set.image_ = image;
  set.name_ = "memory";
  return set;
}

Dataset Dataset::from_memory(std::vector<std::uint8_t> pixels, Index rows, Index cols) {
  return wrap(std::move(pixels), rows, cols);
}

Dataset Dataset::from_memory(std::vector<float> values, Index rows, Index cols, NaNs nans) {
  Dataset set = wrap(std::move(values), rows, cols);
  set.dtype_ = DType::f32;
  set.nans_ = nans;
  check_finite({static_cast<const float*>(set.data_), static_cast<std::size_t>(rows * cols)}, cols, set.name_, nans);
  return set;
}

double Dataset::value(Index index) const {
  return dtype_ == DType::u8 ? static_cast<const std::uint8_t*>(data_)[index] / 255.0
                             : static_cast<double>(static_cast<const float*>(data_)[index]);
}

bool Dataset::file_changed() const {
  const MappedFile* const file = mapped_at(data_);
  return (file != nullptr && file->changed()) || (conditions_ != nullptr && conditions_->file_changed());
}

std::uint32_t Dataset::crc32() const {
  uLong crc = ::crc32_z(0, nullptr, 0);
  for (const Dataset* part : {this, conditions()}) {
    if (part == nullptr) continue;
    const std::size_t bytes = static_cast<std::size_t>(part->rows_ * part->cols_) * size_of(part->dtype_);
    crc = ::crc32_z(crc, static_cast<const Bytef*>(part->data_), bytes);
  }
  return static_cast<std::uint32_t>(crc);
}

double Dataset::mean(Index col) const {
  check_index("column", col, cols_);
  double sum = 0, count = 0;
  for (Index i = 0; i < rows_; ++i)
    if (const double v = value(i * cols_ + col); !std::isnan(v)) sum += v, ++count;
  if (count == 0) throw Error(name_ + ": column " + std::to_string(col) + " has no value that is not missing");
  return sum / count;
}

std::vector<float> Dataset::column_means() const {
  std::vector<double> sums(static_cast<std::size_t>(cols_)), counts(sums.size());
  for (Index i = 0; i < rows_; ++i) {
    for (Index j = 0; j < cols_; ++j)
      if (const double v = value(i * cols_ + j); !std::isnan(v)) sums[j] += v, ++counts[j];
  }
  std::vector<float> means(sums.size());
  for (Index j = 0; j < cols_; ++j) means[j] = static_cast<float>(counts[j] > 0 ? sums[j] / counts[j] : mean(j));
  return means;
}

std::pair<float, float> Dataset::range() const {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::pair least_and_most{infinity, -infinity};
  for (Index i = 0; i < rows_ * cols_; ++i) {
    const auto v = static_cast<float>(value(i));
    if (v < least_and_most.first) least_and_most.first = v;
    if (v > least_and_most.second) least_and_most.second = v;
  }
  return least_and_most;
}

bool Dataset::within_unit_interval() const {
  if (dtype_ == DType::u8) return true;
  const float* const values = static_cast<const float*>(data_);
  return std::all_of(values, values + rows_ * cols_, [nans = nans_](float value) {
    return (value >= 0 && value <= 1) || (nans == NaNs::missing && std::isnan(value));
  });
}

std::vector<float> Dataset::row(Index index) const {
  check_index("row", index, rows_);
  std::vector<float> values(static_cast<std::size_t>(cols_));
  for (Index j = 0; j < cols_; ++j) values[j] = static_cast<float>(value(index * cols_ + j));
  return values;
}

}  // namespace cuvae
