#include "approximate.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace ptx {
namespace {

int mode() {
  static const int m = [] {
    const char* text = std::getenv("CUEMU_APPROX");
    return text == nullptr ? 0 : std::atoi(text);
  }();
  return m;
}

float flushed(float v) { return std::fabs(v) < 0x1p-126f ? std::copysign(0.0f, v) : v; }

// A number below n that depends only on the argument.
u64 drawn(u64 argument, u64 salt, u64 n) {
  u64 h = (argument + 0x9e3779b97f4a7c15u * (salt + static_cast<u64>(mode()))) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 31)) * 0x94d049bb133111ebu;
  return (h ^ (h >> 29)) % n;
}

// `exact`, changed by up to `most` ulp.
float moved(double exact, float argument, int most, bool stays) {
  const float nearest = static_cast<float>(exact);
  if (mode() == 0 || stays || !std::isfinite(nearest) || nearest == 0.0f) return flushed(nearest);
  const int by = static_cast<int>(drawn(bits(argument), static_cast<u64>(most), 2 * static_cast<u64>(most) + 1)) - most;
  const float result = std::bit_cast<float>(std::bit_cast<s32>(nearest) + by);
  return std::isfinite(result) && flushed(result) != 0.0f ? result : flushed(nearest);
}

bool is_power_of_two(float v) {
  int exponent = 0;
  return std::frexp(v, &exponent) == 0.5f;
}

}  // namespace

float ex2(float x) {
  x = flushed(x);
  return moved(std::exp2(static_cast<double>(x)), x, std::min(2, mode()), x == std::floor(x));
}
float lg2(float x) {
  x = flushed(x);
  return moved(std::log2(static_cast<double>(x)), x, 1, is_power_of_two(x));
}
float rcp(float x) {
  x = flushed(x);
  return moved(1.0 / static_cast<double>(x), x, 1, is_power_of_two(x));
}
u64 rcp64(u64 x) {
  const double v = as_double(x);
  if (std::fabs(v) < 0x1p-1022) return bits(std::copysign(HUGE_VAL, v));
  u64 result = bits(1.0 / v) & 0xffffffff00000000u;
  if (mode() != 0 && std::isfinite(as_double(result))) result += (drawn(x, 7, 3) - 1) << 32;
  return result;
}

u16 to_bf16(float v) {
  if (std::isnan(v)) return 0x7fff;
  const u32 b = std::bit_cast<u32>(v);
  return static_cast<u16>((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

}  // namespace ptx
