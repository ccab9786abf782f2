// Numbers in the user's texts: decimal, in range, and never rounded silently to another number.
#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <type_traits>

#include "cuvae/error.h"
#include "io/json_text.h"
#include "io/text.h"

namespace cuvae {
namespace detail {

/// `limit` as a Number, clamped to the range of Number.
template <class Number>
Number clamp_to(double limit) {
  constexpr Number least = std::numeric_limits<Number>::lowest(), most = std::numeric_limits<Number>::max();
  if (limit <= static_cast<double>(least)) return least;
  return limit >= static_cast<double>(most) ? most : static_cast<Number>(limit);
}

template <class Number>
std::string shortest(Number value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

inline bool is_whole_number(const std::string& text) {
  const auto digits = text.begin() + (text.starts_with('-') ? 1 : 0);
  return digits != text.end() && std::all_of(digits, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace detail

/// The decimal number in `text`, in [low, high] and in the range of Number. Throws Error, "must be 1 to 7, not 8", for
/// everything else: other bases, a plus sign, spaces, infinities, NaN, and numbers that a floating-point Number rounds
/// to 0.
template <class Number>
Number parse_number(const std::string& text, double low, double high) {
  const Number least = detail::clamp_to<Number>(low), most = detail::clamp_to<Number>(high);
  const auto fail = [&](const std::string& rule) -> Number {
    throw Error("must be " + rule + ", not " + in_quotes(text));
  };
  const char *const begin = text.data(), *const end = begin + text.size();
  Number value{};
  if constexpr (std::is_integral_v<Number>) {
    if (!detail::is_whole_number(text)) return fail("a whole number in decimal digits");
    const bool fits = std::from_chars(begin, end, value).ec == std::errc();
    if (fits && value >= least && value <= most) return value;
    return fail(detail::shortest(least) + " to " + detail::shortest(most));
  } else {
    const auto [stop, error] = std::from_chars(begin, end, value);
    if (stop != end || error == std::errc::invalid_argument) return fail("a number");
    const bool rounded_to_zero = value == 0 && text.find_first_of("123456789") < text.find_first_of("eE");
    if (rounded_to_zero && std::fabs(std::strtod(text.c_str(), nullptr)) < 1)
      return fail("0 or at least " + number(static_cast<double>(std::numeric_limits<Number>::min()), 2));
    if (error == std::errc() && value >= least && value <= most) return value;
    const bool unbounded = most == std::numeric_limits<Number>::max();
    return fail(unbounded ? "a finite number of at least " + detail::shortest(least)
                          : detail::shortest(least) + " to " + detail::shortest(most));
  }
}

}  // namespace cuvae
