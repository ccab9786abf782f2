#include "data/formats/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cuvae/error.h"
#include "io/text.h"

namespace cuvae {
namespace {

static_assert(std::endian::native == std::endian::little, "little-endian values are not converted");

constexpr double kMostFloat = std::numeric_limits<float>::max();

struct Half {
  std::uint16_t bits;
};

// IEEE 754 binary16: 1 sign, 5 exponent, 10 mantissa bits. Every value is exact in float32.
float to_float(Half half) {
  const std::uint32_t sign = (half.bits & 0x8000U) << 16, exponent = half.bits >> 10 & 31U,
                      mantissa = half.bits & 1023U;
  if (exponent == 0) {  // zero and subnormal: mantissa * 2^-24
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255U : exponent + (127 - 15);
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

template <class Value>
float to_float(Value value) {
  return static_cast<float>(value);
}

float to_float(bool value) { return value ? 1.0F : 0.0F; }

template <class Value>
Value load(const std::uint8_t* from, bool big_endian) {
  std::uint8_t bytes[sizeof(Value)];
  std::memcpy(bytes, from, sizeof(Value));
  if (big_endian) std::reverse(bytes, bytes + sizeof(Value));
  if constexpr (std::is_same_v<Value, bool>) {
    return bytes[0] != 0;
  } else {
    return std::bit_cast<Value>(bytes);
  }
}

// Calls `call` with a value of the element's type.
template <class Call>
void with_type(const Element& element, Call&& call) {
  const std::size_t bytes = element.bytes;
  switch (element.kind) {
    case Element::Kind::boolean:
      return call(bool{});
    case Element::Kind::unsigned_integer:
      return bytes == 1   ? call(std::uint8_t{})
             : bytes == 2 ? call(std::uint16_t{})
             : bytes == 4 ? call(std::uint32_t{})
                          : call(std::uint64_t{});
    case Element::Kind::signed_integer:
      return bytes == 1   ? call(std::int8_t{})
             : bytes == 2 ? call(std::int16_t{})
             : bytes == 4 ? call(std::int32_t{})
                          : call(std::int64_t{});
    case Element::Kind::floating:
      return bytes == 2 ? call(Half{}) : bytes == 4 ? call(float{}) : call(double{});
  }
}

// The place of each column of [N, D] within a row of the file, if the dimensions after the first are in Fortran order.
std::vector<std::size_t> fortran_columns(const std::vector<Index>& dims, std::size_t cols) {
  std::vector<std::size_t> place(cols);
  std::size_t stride = 1, repeat = cols;
  for (std::size_t k = 1; k < dims.size(); ++k) {
    const auto dim = static_cast<std::size_t>(dims[k]);
    if (dim == 1) continue;  // a hostile header may have thousands of these
    repeat /= dim;           // columns for which index k stays the same
    for (std::size_t col = 0; col < cols; ++col) place[col] += col / repeat % dim * stride;
    stride *= dim;
  }
  return place;
}

// out[row, col] = read(index in the file).
template <class Out, class Read>
void reorder(std::vector<Out>& out, const ArrayHeader& header, Read&& read) {
  if (!header.fortran_order) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = read(i);
    return;
  }
  constexpr std::size_t block = 64;  // rows whose cache lines are written together
  const auto rows = static_cast<std::size_t>(header.dims[0]);
  const std::size_t cols = out.size() / rows;
  const std::vector<std::size_t> place = fortran_columns(header.dims, cols);
  for (std::size_t first = 0; first < rows; first += block)
    for (std::size_t col = 0; col < cols; ++col)
      for (std::size_t row = first; row < std::min(first + block, rows); ++row)
        out[row * cols + col] = read(place[col] * rows + row);
}

template <class Value>
Values hold_as(DType dtype, std::vector<Value> values) {
  const auto owner = std::make_shared<const std::vector<Value>>(std::move(values));
  return {dtype, owner, owner->data()};
}

// `index` is the place of the value in the file.
[[noreturn]] void fail_range(const FileContent& content, const ArrayHeader& header, std::size_t index, double value) {
  const auto rows = static_cast<std::size_t>(header.dims[0]);
  const std::size_t cols = header.data_bytes / header.element.bytes / rows;
  std::size_t row = index / cols, col = index % cols;
  if (header.fortran_order) {
    const std::vector<std::size_t> place = fortran_columns(header.dims, cols);
    row = index % rows;
    col = static_cast<std::size_t>(std::find(place.begin(), place.end(), index / rows) - place.begin());
  }
  throw Error(content.name() + ": value " + std::to_string(col) + " of example " + std::to_string(row) + " is " +
              number(value) + ", but the largest float32 is 3.40282e+38: rescale the data");
}

}  // namespace

Values hold(std::vector<float> values) { return hold_as(DType::f32, std::move(values)); }
Values hold(std::vector<std::uint8_t> values) { return hold_as(DType::u8, std::move(values)); }

Values convert(const FileContent& content, const ArrayHeader& header, std::span<const std::uint8_t> payload) {
  const Element& element = header.element;
  const std::size_t count = payload.size() / element.bytes;
  const bool is_u8 = element.kind == Element::Kind::unsigned_integer && element.bytes == 1;
  const bool is_f32 = element.kind == Element::Kind::floating && element.bytes == 4;
  const bool aligned = reinterpret_cast<std::uintptr_t>(payload.data()) % alignof(float) == 0;
  if (!header.fortran_order && is_u8) return {DType::u8, content.owner(), payload.data()};
  if (!header.fortran_order && is_f32 && !element.big_endian && aligned)
    return {DType::f32, content.owner(), payload.data()};

  if (is_u8) {
    std::vector<std::uint8_t> values(count);
    reorder(values, header, [&](std::size_t i) { return payload[i]; });
    return hold(std::move(values));
  }
  std::vector<float> values(count);
  with_type(element, [&](auto type) {
    using Value = decltype(type);
    reorder(values, header, [&, bytes = payload.data(), big_endian = element.big_endian](std::size_t i) {
      const auto value = load<Value>(bytes + i * sizeof(Value), big_endian);
      if constexpr (std::is_same_v<Value, double>)
        if (std::isfinite(value) && std::abs(value) > kMostFloat) fail_range(content, header, i, value);
      return to_float(value);
    });
  });
  return hold(std::move(values));
}

}  // namespace cuvae
