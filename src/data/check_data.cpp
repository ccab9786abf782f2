#include "data/check_data.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "cuvae/error.h"
#include "io/text.h"

namespace cuvae {
namespace {

// The largest value of 0/1 masks, palettes and images of up to five bits. A data set of photographs is rarely this
// dark.
constexpr std::uint8_t kLargestDark = 31;

// Whether all values that are not missing are equal.
template <class Value>
bool all_equal(const void* data, Index count) {
  const auto *const values = static_cast<const Value*>(data), *const end = values + count;
  const auto missing = [](Value value) { return std::isnan(static_cast<float>(value)); };
  const auto* const first = std::find_if_not(values, end, missing);
  return std::all_of(first, end, [&](Value value) { return value == *first || missing(value); });
}

// How to bring values between `least` and `most` to [0, 1].
std::string remedy(float least, float most) {
  if (least >= 0) {
    const std::string scale = most > 128 && most <= 255 ? "255" : number(most, 9);
    return "divide by " + scale + " (--pixel-scale " + scale + ")";
  }
  if (least >= -1 && most <= 1) return "map [-1, 1] to [0, 1] by (x + 1) / 2";
  return "map the data to [0, 1]";
}

void check_none_missing(const Dataset& data) {
  if (data.nans() == NaNs::refused || data.dtype() != DType::f32) return;
  const auto *const values = static_cast<const float*>(data.data()), *const end = values + data.rows() * data.cols();
  const Index at = std::find_if(values, end, [](float value) { return std::isnan(value); }) - values;
  if (at < end - values)
    throw Error(data.name() + ": row " + std::to_string(at / data.cols()) + ", column " +
                std::to_string(at % data.cols()) + " is missing, but the model takes no missing values (--missing)");
}

void check_unit_interval(const Dataset& data, const std::string& who, const std::string& otherwise) {
  if (data.within_unit_interval()) return;
  const auto *const values = static_cast<const float*>(data.data()), *const end = values + data.rows() * data.cols();
  const Index first = std::find_if_not(values, end, [](float value) { return !(value < 0 || value > 1); }) - values;
  const auto [least, most] = data.range();
  const float unit = data.pixel_scale() > 0 ? data.pixel_scale() : 1;
  throw Error(data.name() + ": row " + std::to_string(first / data.cols()) + ", column " +
              std::to_string(first % data.cols()) + " is " + number(values[first], 7) + ", but " + who +
              " needs values in [0, 1]: " + remedy(least * unit, most * unit) + ", or " + otherwise);
}

// "3 columns", "labels of 10 classes", "nothing".
std::string in_words(ConditionKind kind, Index columns) {
  switch (kind) {
    case ConditionKind::none:
      break;
    case ConditionKind::labels:
      return "labels of " + std::to_string(columns) + " classes";
    case ConditionKind::columns:
      return std::to_string(columns) + " columns";
  }
  return "none";
}

void check_conditions(const Dataset& data, const VaeConfig& model) {
  const Index there = data.conditions() != nullptr ? data.conditions()->cols() : 0;
  if (data.condition() == model.condition && there == model.condition_dim) return;
  throw Error(data.name() + ": the conditions of the data are " + in_words(data.condition(), there) +
              " but those of the model are " + in_words(model.condition, model.condition_dim));
}

}  // namespace

void check_not_dark(const Dataset& data, std::optional<float> missing) {
  if (data.dtype() != DType::u8 || data.pixel_scale() > 0) return;
  const auto *const pixels = static_cast<const std::uint8_t*>(data.data()), *const end =
                                                                                pixels + data.rows() * data.cols();
  int largest = 0;  // a picture may be black
  for (const auto* pixel = pixels; pixel != end && largest <= kLargestDark; ++pixel)
    if (*pixel > largest && static_cast<float>(*pixel) != missing) largest = *pixel;
  if (largest == 0 || largest > kLargestDark) return;
  const std::string scale = std::to_string(largest);
  throw Error(data.name() + ": the largest uint8 value is " + scale +
              ", but values are divided by 255: " + (largest == 1 ? "for 0/1 masks," : "to divide by " + scale + ",") +
              " give the pixel scale " + scale + " (--pixel-scale " + scale + "); to divide by 255, give 255");
}

void check_data_fits(const Dataset& data, const VaeConfig& model, Binarize binarize) {
  if (data.cols() != model.data_dim)
    throw Error(data.name() + ": examples have " + std::to_string(data.cols()) +
                " values but the model's data_dim is " + std::to_string(model.data_dim));
  check_conditions(data, model);
  check_not_dark(data);
  if (!model.missing_values) check_none_missing(data);
  if (traits(model.likelihood).unit_interval) {
    check_unit_interval(data, "a " + std::string(to_string(model.likelihood)) + " likelihood",
                        "use another one (--likelihood gaussian)");
  } else if (binarize != Binarize::none) {
    check_unit_interval(data, std::string(to_string(binarize)) + " binarization", "do not binarize (--binarize none)");
  }
}

bool is_constant(const Dataset& data) {
  const Index count = data.rows() * data.cols();
  return data.dtype() == DType::u8 ? all_equal<std::uint8_t>(data.data(), count) : all_equal<float>(data.data(), count);
}

}  // namespace cuvae
