// Dataset::divided_by, for data that are not uint8 pixels from 0 to 255.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/error.h"
#include "io/text.h"

namespace cuvae {
namespace {

constexpr float kWhite = 255.0F;  // the usual divisor of uint8 pixels

// The factor that turns uint8 values into pixels from 0 to 255, or 0 if there is none.
std::uint8_t whole_factor(float scale, std::uint8_t largest) {
  const float factor = kWhite / scale;
  return factor >= 1 && factor <= kWhite && factor == std::floor(factor) && static_cast<float>(largest) <= scale
             ? static_cast<std::uint8_t>(factor)
             : 0;
}

}  // namespace

Dataset Dataset::divided_by(float scale) const {
  if (!(scale > 0) || !std::isfinite(scale))
    throw Error(name_ + ": the pixel scale is " + number(scale) + " but must be positive");
  if (pixel_scale_ > 0) throw Error(name_ + ": is already divided by " + number(pixel_scale_));
  if (missing_value_) throw Error(name_ + ": must be divided before the missing value is given");
  Dataset set = *this;
  set.pixel_scale_ = scale;
  const auto count = static_cast<std::size_t>(rows_ * cols_);
  const auto divide = [&](const auto* values) {
    const auto quotients = std::make_shared<std::vector<float>>(count);
    std::transform(values, values + count, quotients->begin(),
                   [scale](auto value) { return static_cast<float>(value) / scale; });
    if (!std::all_of(quotients->begin(), quotients->end(), [](float value) { return !std::isinf(value); }))
      throw Error(name_ + ": values divided by " + number(scale) + " are beyond float32");
    set.owner_ = quotients;
    set.data_ = quotients->data();
    set.dtype_ = DType::f32;
  };
  if (dtype_ != DType::u8) {
    divide(static_cast<const float*>(data_));
    return set;
  }
  const auto* const pixels = static_cast<const std::uint8_t*>(data_);
  const std::uint8_t factor = whole_factor(scale, *std::max_element(pixels, pixels + count));
  if (factor == 0) {
    divide(pixels);
  } else if (factor > 1) {
    const auto products = std::make_shared<std::vector<std::uint8_t>>(count);
    std::transform(pixels, pixels + count, products->begin(),
                   [factor](std::uint8_t pixel) { return static_cast<std::uint8_t>(pixel * factor); });
    set.owner_ = products;
    set.data_ = products->data();
  }
  return set;
}

}  // namespace cuvae
