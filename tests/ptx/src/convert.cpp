// cvt: conversions between types.
#include <cmath>
#include <limits>

#include "approximate.h"
#include "lanes.h"
#include "problems.h"

namespace ptx {
namespace {

template <class T>
T to_integral(Round round, T v) {
  switch (round) {
    case Round::rni:
      return std::nearbyint(v);
    case Round::rzi:
      return std::trunc(v);
    case Round::rmi:
      return std::floor(v);
    case Round::rpi:
      return std::ceil(v);
    default:
      return v;
  }
}

// To an integer. NaN becomes 0. A value out of range becomes the nearest integer of the type.
template <class To, class From>
To saturated(From v) {
  using Limits = std::numeric_limits<To>;
  if (std::isnan(v)) return 0;
  if (v <= static_cast<From>(Limits::min())) return Limits::min();
  if (v >= static_cast<From>(Limits::max())) return Limits::max();
  return static_cast<To>(v);
}

template <class From>
u64 from_float(const Instruction& in, From value) {
  const From v = to_integral(in.round, value);
  switch (in.type) {
    case Type::F32:
      if (in.saturate) return bits(static_cast<float>(std::isnan(v) ? 0 : std::fmin(std::fmax(v, 0), 1)));
      return bits(static_cast<float>(v));
    case Type::F64:
      return bits(static_cast<double>(v));
    case Type::S32:
      return static_cast<u32>(saturated<s32>(v));
    case Type::U32:
      return saturated<u32>(v);
    case Type::S64:
      return static_cast<u64>(saturated<s64>(v));
    case Type::U64:
      return saturated<u64>(v);
    default:
      unknown(*in.text);
  }
}

template <class From>
u64 from_integer(const Instruction& in, From v) {
  if (in.saturate) unknown(*in.text);
  switch (in.type) {
    case Type::U8:
    case Type::S8:
      return static_cast<u8>(v);
    case Type::U16:
    case Type::S16:
      return static_cast<u16>(v);
    case Type::U32:
    case Type::S32:
      return static_cast<u32>(v);
    case Type::U64:
    case Type::S64:
      return static_cast<u64>(v);
    case Type::F32:
      return bits(static_cast<float>(v));
    case Type::F64:
      return bits(static_cast<double>(v));
    default:
      unknown(*in.text);
  }
}

u64 converted(const Instruction& in, u64 v) {
  switch (in.from) {
    case Type::F32:
      if (in.type == Type::BF16 && in.round == Round::rn) return to_bf16(as_float(v));
      return from_float(in, as_float(v));
    case Type::F64:
      if (in.type == Type::F32 && in.round != Round::rn) unknown(*in.text);
      return from_float(in, as_double(v));
    case Type::BF16:
      if (in.type != Type::F32) unknown(*in.text);
      return bits(from_bf16(v));
    case Type::U8:
      return from_integer(in, static_cast<u8>(v));
    case Type::U16:
      return from_integer(in, static_cast<u16>(v));
    case Type::U32:
      return from_integer(in, static_cast<u32>(v));
    case Type::U64:
      return from_integer(in, v);
    case Type::S8:
      return from_integer(in, static_cast<s8>(v));
    case Type::S16:
      return from_integer(in, static_cast<s16>(v));
    case Type::S32:
      return from_integer(in, static_cast<s32>(v));
    case Type::S64:
      return from_integer(in, static_cast<s64>(v));
    default:
      unknown(*in.text);
  }
}

}  // namespace

void convert(const Instruction& in, const Lanes& lanes) {
  u64* const d = lanes[in.to[0]];
  const u64* const a = lanes[in.of[0]];
  if (in.type == Type::BF16X2) {  // the first operand is the upper half
    if (in.round != Round::rn || in.from != Type::F32) unknown(*in.text);
    const u64* const b = lanes[in.of[1]];
    lanes.each([&](int i) { d[i] = static_cast<u32>(to_bf16(as_float(a[i]))) << 16 | to_bf16(as_float(b[i])); });
  } else {
    lanes.each([&](int i) { d[i] = converted(in, a[i]); });
  }
}

}  // namespace ptx
