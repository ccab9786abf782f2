// Numbers in texts: only decimal numbers in range are accepted, and none is changed.
#include "io/parse_number.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "error_text.h"

namespace cuvae {
namespace {
using namespace test;

constexpr double kAny = std::numeric_limits<double>::max();

TEST(ParseNumber, WholeNumbersAreDecimal) {
  EXPECT_EQ(parse_number<int>("010", 0, 100), 10);
  EXPECT_EQ(parse_number<int>("08", 0, 100), 8);
  EXPECT_EQ(parse_number<int>("-3", -5, 5), -3);
  EXPECT_EQ(parse_number<std::int64_t>("00002147483647", 1, 2147483647), 2147483647);
  EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615", 0, kAny), 18446744073709551615U);
  for (const char* bad :
       {"", "-", "+5", " 5", "5 ", "0x10", "0b11", "0o7", "1_000", "1'000", "12x", "1.5", "4.0", "1e3", "inf", "nan"})
    expect_error([&] { parse_number<int>(bad, 0, 100); },
                 "must be a whole number in decimal digits, not \"" + std::string(bad) + "\"");
}

TEST(ParseNumber, RangesAreNamed) {
  for (const char* bad : {"0", "-1", "2147483648", "99999999999999999999"})
    expect_error([&] { parse_number<std::int64_t>(bad, 1, 2147483647); },
                 "must be 1 to 2147483647, not \"" + std::string(bad) + "\"");
  for (const char* bad : {"-1", "18446744073709551616"})
    expect_error([&] { parse_number<std::uint64_t>(bad, 0, kAny); },
                 "must be 0 to 18446744073709551615, not \"" + std::string(bad) + "\"");
  for (const char* bad : {"-0.001", "1.0000001", "nan", "inf", "1e400", "-1e400"})
    expect_error([&] { parse_number<double>(bad, 0, 1); }, "must be 0 to 1, not \"" + std::string(bad) + "\"");
  for (const char* bad : {"-1", "nan", "inf", "-inf", "1e39"})
    expect_error([&] { parse_number<float>(bad, 0, kAny); },
                 "must be a finite number of at least 0, not \"" + std::string(bad) + "\"");
}

TEST(ParseNumber, NothingIsRoundedToZero) {
  EXPECT_EQ(parse_number<float>("0", 0, kAny), 0);
  EXPECT_EQ(parse_number<float>("0.000e5", 0, kAny), 0);
  EXPECT_EQ(parse_number<float>("1e-38", 0, kAny), 1e-38F);
  EXPECT_EQ(parse_number<double>("1e-50", 0, kAny), 1e-50);
  EXPECT_EQ(parse_number<float>("0.1", 0, kAny), 0.1F);
  for (const char* bad : {"1e-50", "0.00001e-60", "1e-400"})
    expect_error([&] { parse_number<float>(bad, 0, kAny); },
                 "must be 0 or at least 1.2e-38, not \"" + std::string(bad) + "\"");
  expect_error([] { parse_number<double>("1e-400", 0, kAny); }, "must be 0 or at least 2.2e-308, not \"1e-400\"");
}

TEST(ParseNumber, OtherNotationsAreNoNumbers) {
  for (const char* bad : {"", "fast", "0x1p3", "1,5", "1.5.2", "+1", " 1", "1 ", "1_0", "."})
    expect_error([&] { parse_number<double>(bad, 0, kAny); }, "must be a number, not \"" + std::string(bad) + "\"");
  expect_error([] { parse_number<int>(std::string(1000, '9'), 0, 9); },
               "must be 0 to 9, not \"" + std::string(80, '9') + "\"");
}

}  // namespace
}  // namespace cuvae
