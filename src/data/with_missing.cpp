// Dataset::with_missing, for data that mark missing values by a number.
#include <cmath>
#include <limits>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/error.h"
#include "data/check_data.h"
#include "io/text.h"

namespace cuvae {

Dataset Dataset::with_missing(float missing) const {
  if (!std::isfinite(missing))
    throw Error(name_ + ": the missing value is " + number(missing) + " but must be finite: NaN is missing anyway");
  if (missing_value_) throw Error(name_ + ": the missing value is already " + number(*missing_value_));
  check_not_dark(*this, missing);
  const auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(rows_ * cols_));
  const auto copy = [&](const auto* from, float marker, float divisor) {
    for (std::size_t i = 0; i < values->size(); ++i) {
      const auto v = static_cast<float>(from[i]);
      (*values)[i] = v == marker ? std::numeric_limits<float>::quiet_NaN() : v / divisor;
    }
  };
  const float scale = pixel_scale_ > 0 ? pixel_scale_ : 1;
  if (dtype_ == DType::u8)  // divided_by() has multiplied them by 255 / scale
    copy(static_cast<const std::uint8_t*>(data_), pixel_scale_ > 0 ? missing * (255 / scale) : missing, 255);
  else
    copy(static_cast<const float*>(data_), missing / scale, 1);
  Dataset set = *this;
  set.owner_ = values, set.data_ = values->data(), set.dtype_ = DType::f32;
  set.nans_ = NaNs::missing, set.missing_value_ = missing;
  return set;
}

}  // namespace cuvae
