// The elementary functions against libm in double precision, for dense samples of the floats in their ranges.
#include "math/elementary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "cuvae/types.h"
#include "math/formulas.h"
#include "math/philox.h"

namespace cuvae {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

/// |got - want| in units of the spacing of floats at `want`; infinite for NaN.
double ulps(float got, double want) {
  const int exponent = std::max(std::ilogb(want), -126);  // below this, the spacing is constant
  const double error = std::fabs(double{got} - want) / std::ldexp(1.0, exponent - 23);
  return std::isnan(error) ? INFINITY : error;
}

/// Every 509th float from `low` to `high`, and these two. Both have the same sign.
template <class F>
void for_floats(float low, float high, F f) {
  std::int32_t from = math::to_bits(low), to = math::to_bits(high);
  if (from > to) std::swap(from, to);
  for (std::int64_t bits = from; bits < to; bits += 509) f(math::from_bits(static_cast<std::int32_t>(bits)));
  f(math::from_bits(to));
}

/// The largest error in the range is at most `bound` ulp.
template <class Got, class Want>
void expect_ulps(const std::string& name, float low, float high, double bound, Got got, Want want) {
  double worst = 0;
  float at = low;
  for_floats(low, high, [&](float x) {
    const double error = ulps(got(x), want(double{x}));
    if (error > worst) worst = error, at = x;
  });
  EXPECT_LE(worst, bound) << name << "(" << at << ")";
}

constexpr double kBound = 2.5;  // elementary.h states it
constexpr float kTiny = std::numeric_limits<float>::min(), kSmallest = std::numeric_limits<float>::denorm_min();

TEST(Elementary, Exp) {
  const auto got = [](float x) { return math::exp(x); };
  const auto want = [](double x) { return std::exp(x); };
  expect_ulps("exp", 0.0f, 88.0f, kBound, got, want);
  expect_ulps("exp", -0.0f, -87.0f, kBound, got, want);
  for (const float low : {-87.5f, -1e10f, -kInfinity}) EXPECT_EQ(math::exp(low), math::exp(-87.0f));
  for (const float high : {88.5f, 1e10f, kInfinity}) EXPECT_EQ(math::exp(high), math::exp(88.0f));
  EXPECT_EQ(math::exp(0.0f), 1.0f);
  EXPECT_TRUE(std::isnan(math::exp(kNaN)));
}

TEST(Elementary, Log) {
  expect_ulps(
      "log", kTiny, std::numeric_limits<float>::max(), kBound, [](float x) { return math::log(x); },
      [](double x) { return std::log(x); });
  EXPECT_EQ(math::log(1.0f), 0.0f);
}

TEST(Elementary, Log1p) {
  expect_ulps(
      "log1p", 0.0f, 1.0f, kBound, [](float x) { return math::log1p_unit(x); }, [](double x) { return std::log1p(x); });
}

// Near a zero, sine and cosine are accurate in units of their own ulp, because the reduction is exact.
TEST(Elementary, SineAndCosineOfTurns) {
  const auto turn = [](float u) {
    struct {
      float s, c;
    } r;
    math::sincos_turns(u, r.s, r.c);
    return r;
  };
  // In double precision; the reduction is exact before the multiplication by 2 pi.
  const auto sine = [](double u) {
    const double q = std::round(u * 4), a = (u - q / 4) * 6.283185307179586476925;
    const double s = std::sin(a), c = std::cos(a);
    const double of_quarter[] = {s, c, -s, -c};
    return of_quarter[static_cast<int>(q) % 4];
  };
  expect_ulps(
      "sine", 0.0f, 1.0f, kBound, [&](float u) { return turn(u).s; }, sine);
  expect_ulps(
      "cosine", 0.0f, 1.0f, kBound, [&](float u) { return turn(u).c; }, [&](double u) { return sine(u + 0.25); });
}

TEST(Elementary, Tanh) {
  const auto got = [](float x) { return math::tanh(x); };
  const auto want = [](double x) { return std::tanh(x); };
  expect_ulps("tanh", kSmallest, kInfinity, kBound, got, want);
  expect_ulps("tanh", -kSmallest, -kInfinity, kBound, got, want);
  EXPECT_EQ(math::tanh(0.0f), 0.0f);
  EXPECT_TRUE(std::isnan(math::tanh(kNaN)));
}

TEST(Elementary, Erf) {
  const auto got = [](float x) { return math::erf(x); };
  const auto want = [](double x) { return std::erf(x); };
  expect_ulps("erf", kSmallest, 3e38f, kBound, got, want);
  expect_ulps("erf", -kSmallest, -3e38f, kBound, got, want);
  EXPECT_EQ(math::erf(0.0f), 0.0f);
  EXPECT_EQ(math::erf(kInfinity), 1.0f);
  EXPECT_TRUE(std::isnan(math::erf(kNaN)));
}

TEST(Elementary, NormalPairsAreFiniteForEveryUniform) {
  for (const std::uint32_t word : {0u, 1u, 0x7fffffffu, 0xfffffeffu, 0xffffffffu})
    for (const std::uint32_t other : {0u, 0x3fffffffu, 0xc0000000u, 0xffffffffu}) {
      float a, b;
      math::normal_pair(math::uniform(word), math::uniform(other), a, b);
      EXPECT_TRUE(std::isfinite(a) && std::isfinite(b));
      EXPECT_LE(std::hypot(a, b), 6.8f);  // sqrt(-2 ln 2^-33) = 6.76
    }
}

// Made from the functions above, with a few more roundings.
TEST(Formulas, AreGoodToThreeUlp) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto softplus = [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); };
  for (const float end : {80.0f, -80.0f}) {
    const float start = end > 0 ? 0.0f : -0.0f;
    expect_ulps(
        "sigmoid", start, end, 3, [](float x) { return math::sigmoid(x); }, sigmoid);
    expect_ulps(
        "softplus", start, end, 3, [](float x) { return math::softplus(x); }, softplus);
  }
  expect_ulps(
      "expm1_negative", -0.0f, -80.0f, 3, [](float x) { return math::expm1_negative(x); },
      [](double x) { return std::expm1(x); });
  EXPECT_TRUE(std::isnan(math::sigmoid(kNaN)) && std::isnan(math::softplus(kNaN)));
  EXPECT_TRUE(std::isnan(math::activate<Activation::relu>(kNaN)));
}

}  // namespace
}  // namespace cuvae
