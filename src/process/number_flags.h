// Flags with numbers as arguments, read the same way in every command.
#pragma once
#include <CLI/CLI.hpp>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "io/parse_number.h"

namespace cuvae::cli {

/// The range of a flag's numbers, both ends included.
struct Range {
  double low = 0, high = std::numeric_limits<double>::max();
};

inline constexpr double kMaxCount = 2147483647;
inline constexpr Range kCount{1, kMaxCount}, kCountOrZero{0, kMaxCount}, kAnySeed{};

/// The number that is given to `flag`. Throws CLI::ValidationError, naming the flag and the range.
template <class Number>
Number flag_number(const std::string& flag, const std::string& text, Range range) {
  try {
    return parse_number<Number>(text, range.low, range.high);
  } catch (const Error& error) {
    throw CLI::ValidationError(flag, error.what());
  }
}

/// The names that help shows for whole numbers and for real numbers. Config files are checked by these names.
template <class Number>
constexpr const char* kNumberName = std::is_integral_v<Number> ? "N" : "X";

/// An option for one number. The current value is the default.
template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& flag, Number& value, const std::string& help, Range range) {
  const auto set = [&value, flag, range](const std::string& text) { value = flag_number<Number>(flag, text, range); };
  return app.add_option_function<std::string>(flag, set, help)
      ->type_name(kNumberName<Number>)
      ->default_str(detail::shortest(value));
}

/// An option for one or more numbers.
template <class Number>
CLI::Option* add_numbers(CLI::App& app, const std::string& flag, std::vector<Number>& values, const std::string& help,
                         Range range) {
  const auto set = [&values, flag, range](const std::vector<std::string>& texts) {
    values.clear();
    for (const std::string& text : texts) values.push_back(flag_number<Number>(flag, text, range));
  };
  std::string defaults;
  for (const Number& value : values) defaults += (defaults.empty() ? "" : " ") + detail::shortest(value);
  return app.add_option_function<std::vector<std::string>>(flag, set, help)
      ->type_name(kNumberName<Number>)
      ->default_str(defaults);
}

/// Throws CLI::ValidationError if `flag` is given and `idle` is not null. `idle` is the reason why the flag has no
/// effect, such as "without --rows".
inline void refuse_idle(const CLI::App& app, const std::string& flag, const char* idle) {
  if (idle != nullptr && app.count(flag) > 0) throw CLI::ValidationError(flag, std::string("has no effect ") + idle);
}

/// The argument `idle` of refuse_idle: `why`, or null if the flag has an effect.
constexpr const char* unless(bool effective, const char* why) { return effective ? nullptr : why; }

}  // namespace cuvae::cli
