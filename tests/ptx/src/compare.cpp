// setp: comparisons. If an operand is NaN, ordered comparisons are false and unordered ones true.
#include "lanes.h"
#include "problems.h"

namespace ptx {
namespace {

template <class T>
bool holds(Compare c, T a, T b) {
  switch (c) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return a < b || a > b;
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    case Compare::ge:
      return a >= b;
    case Compare::equ:
      return !(a < b || a > b);
    case Compare::neu:
      return !(a == b);
    case Compare::ltu:
      return !(a >= b);
    case Compare::leu:
      return !(a > b);
    case Compare::gtu:
      return !(a <= b);
    case Compare::geu:
      return !(a < b);
    case Compare::num:  // neither is NaN
      return a <= b || a > b;
    case Compare::nan:
      return !(a <= b || a > b);
  }
  return false;
}

}  // namespace

void compare(const Instruction& in, const Lanes& lanes) {
  u64* const d = lanes[in.to[0]];
  const u64 *const a = lanes[in.of[0]], *const b = lanes[in.of[1]];
  const auto as = [&](auto value) { lanes.each([&](int i) { d[i] = holds(in.compare, value(a[i]), value(b[i])); }); };
  switch (in.type) {
    case Type::S16:
      return as([](u64 v) { return static_cast<s16>(v); });
    case Type::U16:
    case Type::B16:
      return as([](u64 v) { return static_cast<u16>(v); });
    case Type::S32:
      return as([](u64 v) { return static_cast<s32>(v); });
    case Type::U32:
    case Type::B32:
      return as([](u64 v) { return static_cast<u32>(v); });
    case Type::S64:
      return as([](u64 v) { return static_cast<s64>(v); });
    case Type::U64:
    case Type::B64:
      return as([](u64 v) { return v; });
    case Type::F32:
      return as(as_float);
    case Type::F64:
      return as(as_double);
    default:
      unknown(*in.text);
  }
}

}  // namespace ptx
