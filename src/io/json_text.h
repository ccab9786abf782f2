// Untrusted JSON texts: a strict parser with linear time and limits on depth and size.
#pragma once
#include <cmath>
#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace cuvae {

/// Throws Error if the text is not one JSON value: "is not JSON at byte N", counted from `first_byte`. Also throws "has
/// the key ... twice", "nests deeper than 64 levels", "has more than 1000000 values" and "has a number that is too
/// large". Whole numbers keep all 64 bits; larger ones become doubles.
nlohmann::json parse_json(std::string_view text, std::size_t first_byte = 0);

/// The same, but members keep their order in the text. At most 1000 per object, because they are searched one by one.
nlohmann::ordered_json parse_ordered_json(std::string_view text, std::size_t first_byte = 0);

/// The first 80 bytes of an untrusted text for messages: in quotes, ASCII only, other bytes escaped.
std::string in_quotes(std::string_view text);

/// A value for messages, cut to 80 bytes.
std::string short_text(const nlohmann::json& json);

/// Stores the value if it has the type and is in its range; returns whether it did. An integer must be written as one:
/// 4.7, 4.0 and true are not integers. A double accepts every number.
template <class T>
bool get_exactly(const nlohmann::json& json, T& value) {
  if constexpr (std::same_as<T, bool>) {
    if (!json.is_boolean()) return false;
    value = json.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    if (!json.is_number_integer()) return false;
    if (json.is_number_unsigned() ? !std::in_range<T>(json.get<std::uint64_t>())
                                  : !std::in_range<T>(json.get<std::int64_t>()))
      return false;
    value = json.get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!json.is_number()) return false;
    const double number = json.get<double>();
    if (std::abs(number) > static_cast<double>(std::numeric_limits<T>::max())) return false;
    value = static_cast<T>(number);
  } else {
    static_assert(std::same_as<T, std::string>);
    if (!json.is_string()) return false;
    value = json.get<std::string>();
  }
  return true;
}

template <class A, class B>
bool get_exactly(const nlohmann::json& json, std::pair<A, B>& value) {
  return json.is_array() && json.size() == 2 && get_exactly(json[0], value.first) && get_exactly(json[1], value.second);
}

template <class T>
bool get_exactly(const nlohmann::json& json, std::vector<T>& values) {
  if (!json.is_array()) return false;
  values.clear();
  for (const nlohmann::json& item : json)
    if (!get_exactly(item, values.emplace_back())) return false;
  return true;
}

}  // namespace cuvae
