// Arithmetic of float and double, rounded to nearest unless the instruction says otherwise.
#include <cfenv>
#include <cmath>

#include "approximate.h"
#include "lanes.h"
#include "problems.h"

namespace ptx {
namespace {

// For a NaN and a number, returns the number.
template <class T>
T least(T x, T y) {
  return std::isnan(x) ? y : std::isnan(y) || x < y ? x : y;
}
template <class T>
T largest(T x, T y) {
  return std::isnan(x) ? y : std::isnan(y) || x > y ? x : y;
}

// f of three operands, rounded in this direction. volatile keeps the computation between the changes of rounding.
template <class F>
void directed(int direction, const Lanes& lanes, u64* d, const u64* a, const u64* b, const u64* c, F f) {
  const int before = std::fegetround();
  std::fesetround(direction);
  lanes.each([&](int i) {
    const volatile float x = as_float(a[i]), y = as_float(b[i]), z = as_float(c[i]);
    const volatile float result = f(x, y, z);
    d[i] = bits(static_cast<float>(result));
  });
  std::fesetround(before);
}

constexpr u32 kSign = 0x80000000u;
constexpr u64 kSign64 = 0x8000000000000000u;

}  // namespace

void compute_floats(const Instruction& in, const Lanes& lanes) {
  u64* const d = lanes[in.to[0]];
  const u64 *const a = lanes[in.of[0]], *const b = in.of[1] >= 0 ? lanes[in.of[1]] : a,
                   *const c = in.of[2] >= 0 ? lanes[in.of[2]] : a;
  const auto floats = [&](auto f) { lanes.each([&](int i) { d[i] = bits(f(as_float(a[i]), as_float(b[i]))); }); };
  const auto doubles = [&](auto f) { lanes.each([&](int i) { d[i] = bits(f(as_double(a[i]), as_double(b[i]))); }); };
  switch (in.op) {
    case Opcode::add_f32:
      return floats([](float x, float y) { return x + y; });
    case Opcode::add_rz_f32:
      return directed(FE_TOWARDZERO, lanes, d, a, b, c, [](float x, float y, float) { return x + y; });
    case Opcode::sub_f32:
      return floats([](float x, float y) { return x - y; });
    case Opcode::mul_f32:
      return floats([](float x, float y) { return x * y; });
    case Opcode::div_f32:
      return floats([](float x, float y) { return x / y; });
    case Opcode::rcp_f32:
      return floats([](float x, float) { return 1.0f / x; });
    case Opcode::sqrt_f32:
      return floats([](float x, float) { return std::sqrt(x); });
    case Opcode::min_f32:
      return floats(least<float>);
    case Opcode::max_f32:
      return floats(largest<float>);
    case Opcode::ex2_approx:
      return floats([](float x, float) { return ex2(x); });
    case Opcode::lg2_approx:
      return floats([](float x, float) { return lg2(x); });
    case Opcode::rcp_approx_f32:
      return floats([](float x, float) { return rcp(x); });
    case Opcode::fma_f32:
      return lanes.each([&](int i) { d[i] = bits(std::fma(as_float(a[i]), as_float(b[i]), as_float(c[i]))); });
    case Opcode::fma_rm_f32:
      return directed(FE_DOWNWARD, lanes, d, a, b, c, [](float x, float y, float z) { return std::fma(x, y, z); });
    case Opcode::neg_f32:
      return lanes.each([&](int i) { d[i] = static_cast<u32>(a[i]) ^ kSign; });
    case Opcode::abs_f32:
      return lanes.each([&](int i) { d[i] = static_cast<u32>(a[i]) & ~kSign; });
    case Opcode::copysign_f32:  // the sign of a on b
      return lanes.each([&](int i) { d[i] = (static_cast<u32>(a[i]) & kSign) | (static_cast<u32>(b[i]) & ~kSign); });
    case Opcode::add_f64:
      return doubles([](double x, double y) { return x + y; });
    case Opcode::sub_f64:
      return doubles([](double x, double y) { return x - y; });
    case Opcode::mul_f64:
      return doubles([](double x, double y) { return x * y; });
    case Opcode::div_f64:
      return doubles([](double x, double y) { return x / y; });
    case Opcode::rcp_f64:
      return doubles([](double x, double) { return 1.0 / x; });
    case Opcode::sqrt_f64:
      return doubles([](double x, double) { return std::sqrt(x); });
    case Opcode::min_f64:
      return doubles(least<double>);
    case Opcode::max_f64:
      return doubles(largest<double>);
    case Opcode::fma_f64:
      return lanes.each([&](int i) { d[i] = bits(std::fma(as_double(a[i]), as_double(b[i]), as_double(c[i]))); });
    case Opcode::neg_f64:
      return lanes.each([&](int i) { d[i] = a[i] ^ kSign64; });
    case Opcode::abs_f64:
      return lanes.each([&](int i) { d[i] = a[i] & ~kSign64; });
    case Opcode::rcp_approx_f64:
      return lanes.each([&](int i) { d[i] = rcp64(a[i]); });
    default:
      unknown(*in.text);
  }
}

}  // namespace ptx
