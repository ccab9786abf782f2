// Conversion of the values of array files to rows of examples, uint8 or float32.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "cuvae/types.h"
#include "data/formats/array_header.h"

namespace cuvae {

/// N rows of D values, row-major and packed.
struct Values {
  DType dtype = DType::u8;
  std::shared_ptr<const void> owner;
  const void* data = nullptr;
};

/// Takes over values that are already converted.
Values hold(std::vector<float> values);
Values hold(std::vector<std::uint8_t> values);

/// Reads the values of an array whose first dimension is N. uint8 stays uint8; bool becomes 0 and 1 in float32; all
/// other types become float32, rounded to nearest as NumPy's astype does (so integers beyond 2^24 may lose their last
/// digits). Fortran order is transposed. Values that need no conversion are not copied. Throws Error for a float64
/// beyond the range of float32.
Values convert(const FileContent& content, const ArrayHeader& header, std::span<const std::uint8_t> payload);

}  // namespace cuvae
