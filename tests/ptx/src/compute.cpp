// Moves and integer arithmetic. Floats, comparisons and conversions are in other files.
#include "lanes.h"
#include "problems.h"

namespace ptx {
namespace {

__extension__ using U128 = unsigned __int128;
__extension__ using S128 = __int128;

u64 low_bytes(u64 v, u32 bytes) { return bytes == 8 ? v : v & ((u64{1} << 8 * bytes) - 1); }

void pack(const Instruction& in, const Lanes& lanes) {
  lanes.each([&](int i) {
    u64 all = 0;
    for (u32 e = 0; e < in.elements; ++e) all |= low_bytes(lanes[in.of[e]][i], in.width) << 8 * in.width * e;
    lanes[in.to[0]][i] = all;
  });
}

void unpack(const Instruction& in, const Lanes& lanes) {
  lanes.each([&](int i) {
    const u64 all = lanes[in.of[0]][i];
    for (u32 e = 0; e < in.elements; ++e) lanes[in.to[e]][i] = low_bytes(all >> 8 * in.width * e, in.width);
  });
}

template <class T, class F>
void divide(const Kernel& kernel, const Instruction& in, const Lanes& lanes, F f) {
  lanes.each([&](int i) {
    const T x = static_cast<T>(lanes[in.of[0]][i]), y = static_cast<T>(lanes[in.of[1]][i]);
    if (y == 0) problem("division by zero in " + place(kernel, in));
    lanes[in.to[0]][i] = y == 0 ? ~u64{0} : low_bytes(static_cast<u64>(f(x, y)), sizeof(T));
  });
}

}  // namespace

void compute(const Kernel& kernel, const Instruction& in, const Lanes& lanes) {
  u64* const d = lanes[in.to[0]];
  const u64 *const a = lanes[in.of[0]], *const b = in.of[1] >= 0 ? lanes[in.of[1]] : a,
                   *const c = in.of[2] >= 0 ? lanes[in.of[2]] : a;
  // Stores f of the operands as type T. The result has the width of R; the bits above are zero.
  const auto of = [&]<class T, class R>(T, R, auto f) {
    lanes.each([&](int i) { d[i] = static_cast<u64>(static_cast<R>(f(static_cast<T>(a[i]), static_cast<T>(b[i])))); });
  };
  constexpr auto plus = [](auto x, auto y) { return x + y; };
  constexpr auto minus = [](auto x, auto y) { return x - y; };
  constexpr auto times = [](auto x, auto y) { return x * y; };
  constexpr auto least = [](auto x, auto y) { return x < y ? x : y; };
  constexpr auto most = [](auto x, auto y) { return x > y ? x : y; };
  constexpr auto quotient = [](auto x, auto y) { return x / y; };
  constexpr auto remainder = [](auto x, auto y) { return x % y; };
  // Shifts by the register's width or more leave only the sign.
  const auto shift = [&](u64 width, auto f) {
    lanes.each([&](int i) {
      const u64 by = static_cast<u32>(b[i]);
      d[i] = f(a[i], by < width ? by : width);
    });
  };
  constexpr u16 b16 = 0;
  constexpr u32 b32 = 0;
  constexpr u64 b64 = 0;
  constexpr s32 i32 = 0;
  constexpr s64 i64 = 0;
  switch (in.op) {
    case Opcode::mov:
      if (in.type == Type::Pred) return lanes.each([&](int i) { d[i] = a[i] & 1; });
      return lanes.each([&, bytes = bytes_of(in.type)](int i) { d[i] = low_bytes(a[i], bytes); });
    case Opcode::pack:
      return pack(in, lanes);
    case Opcode::unpack:
      return unpack(in, lanes);
    case Opcode::selp:
      return lanes.each([&](int i) { d[i] = (c[i] & 1) != 0 ? a[i] : b[i]; });
    case Opcode::setp:
      return compare(in, lanes);
    case Opcode::cvt:
      return convert(in, lanes);
    case Opcode::add_16:
      return of(b16, b16, plus);
    case Opcode::add_32:
      return of(b32, b32, plus);
    case Opcode::add_64:
      return of(b64, b64, plus);
    case Opcode::sub_32:
      return of(b32, b32, minus);
    case Opcode::sub_64:
      return of(b64, b64, minus);
    case Opcode::neg_32:
      return of(b32, b32, [](u32 x, u32) { return 0 - x; });
    case Opcode::neg_64:
      return of(b64, b64, [](u64 x, u64) { return 0 - x; });
    case Opcode::mul_lo_32:
      return of(b32, b32, times);
    case Opcode::mul_lo_64:
      return of(b64, b64, times);
    case Opcode::mul_hi_u32:
      return of(b32, b32, [](u64 x, u64 y) { return x * y >> 32; });
    case Opcode::mul_hi_s32:
      return of(i32, b32, [](s64 x, s64 y) { return x * y >> 32; });
    case Opcode::mul_hi_u64:
      return of(b64, b64, [](U128 x, U128 y) { return x * y >> 64; });
    case Opcode::mul_hi_s64:
      return of(i64, b64, [](S128 x, S128 y) { return x * y >> 64; });
    case Opcode::mul_wide_u32:
      return of(b32, b64, [](u64 x, u64 y) { return x * y; });
    case Opcode::mul_wide_s32:
      return of(i32, b64, [](s64 x, s64 y) { return x * y; });
    case Opcode::mul_wide_u16:
      return of(b16, b32, [](u32 x, u32 y) { return x * y; });
    case Opcode::mul_wide_s16:
      return of(s16{}, b32, [](s32 x, s32 y) { return x * y; });
    case Opcode::mad_lo_32:
      return lanes.each([&](int i) { d[i] = static_cast<u32>(a[i] * b[i] + c[i]); });
    case Opcode::mad_lo_64:
      return lanes.each([&](int i) { d[i] = a[i] * b[i] + c[i]; });
    case Opcode::div_u32:
      return divide<u32>(kernel, in, lanes, quotient);
    case Opcode::div_s32:
      return divide<s32>(kernel, in, lanes, quotient);
    case Opcode::div_u64:
      return divide<u64>(kernel, in, lanes, quotient);
    case Opcode::div_s64:
      return divide<s64>(kernel, in, lanes, quotient);
    case Opcode::rem_u32:
      return divide<u32>(kernel, in, lanes, remainder);
    case Opcode::rem_s32:
      return divide<s32>(kernel, in, lanes, remainder);
    case Opcode::rem_u64:
      return divide<u64>(kernel, in, lanes, remainder);
    case Opcode::rem_s64:
      return divide<s64>(kernel, in, lanes, remainder);
    case Opcode::min_u32:
      return of(b32, b32, least);
    case Opcode::min_s32:
      return of(i32, b32, least);
    case Opcode::min_u64:
      return of(b64, b64, least);
    case Opcode::min_s64:
      return of(i64, b64, least);
    case Opcode::max_u32:
      return of(b32, b32, most);
    case Opcode::max_s32:
      return of(i32, b32, most);
    case Opcode::max_u64:
      return of(b64, b64, most);
    case Opcode::max_s64:
      return of(i64, b64, most);
    case Opcode::abs_s32:
      return of(i32, b32, [](s32 x, s32) { return x < 0 ? 0 - static_cast<u32>(x) : static_cast<u32>(x); });
    case Opcode::abs_s64:
      return of(i64, b64, [](s64 x, s64) { return x < 0 ? 0 - static_cast<u64>(x) : static_cast<u64>(x); });
    case Opcode::and_:
      return of(b64, b64, [](u64 x, u64 y) { return x & y; });
    case Opcode::or_:
      return of(b64, b64, [](u64 x, u64 y) { return x | y; });
    case Opcode::xor_:
      return of(b64, b64, [](u64 x, u64 y) { return x ^ y; });
    case Opcode::not_16:
      return of(b64, b16, [](u64 x, u64) { return ~x; });
    case Opcode::not_32:
      return of(b64, b32, [](u64 x, u64) { return ~x; });
    case Opcode::not_64:
      return of(b64, b64, [](u64 x, u64) { return ~x; });
    case Opcode::not_pred:
      return lanes.each([&](int i) { d[i] = (a[i] & 1) ^ 1; });
    case Opcode::shl_16:
      return shift(16, [](u64 x, u64 by) { return static_cast<u64>(static_cast<u16>(x << by)); });
    case Opcode::shl_32:
      return shift(32, [](u64 x, u64 by) { return static_cast<u64>(static_cast<u32>(x << by)); });
    case Opcode::shl_64:
      return shift(64, [](u64 x, u64 by) { return by > 63 ? 0 : x << by; });
    case Opcode::shr_u16:
      return shift(16, [](u64 x, u64 by) { return u64{static_cast<u16>(x)} >> by; });
    case Opcode::shr_u32:
      return shift(32, [](u64 x, u64 by) { return u64{static_cast<u32>(x)} >> by; });
    case Opcode::shr_s32:
      return shift(32, [](u64 x, u64 by) { return u64{static_cast<u32>(s64{static_cast<s32>(x)} >> by)}; });
    case Opcode::shr_u64:
      return shift(64, [](u64 x, u64 by) { return by > 63 ? 0 : x >> by; });
    case Opcode::shr_s64:
      return shift(64, [](u64 x, u64 by) { return static_cast<u64>(static_cast<s64>(x) >> (by > 63 ? 63 : by)); });
    default:
      compute_floats(in, lanes);
  }
}

}  // namespace ptx
