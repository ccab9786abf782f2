// Text of numbers and names in messages.
#pragma once
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cuvae {

/// "0.001", "1e-05", "20": the shortest of %g's forms at `digits` significant digits.
inline std::string number(double x, int digits = 6) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, x);
  return text;
}

/// The same, but "not finite" for NaN and infinities.
inline std::string result(double x, int digits = 6) { return std::isfinite(x) ? number(x, digits) : "not finite"; }

/// A result with this many decimals, or "not finite".
inline std::string fixed(double x, int decimals) {
  if (!std::isfinite(x)) return "not finite";
  char text[400];
  std::snprintf(text, sizeof text, "%.*f", decimals, x);
  return text;
}

/// "a, b or c".
std::string one_of(const std::vector<std::string>& names);

/// One line that is safe for a terminal: control characters and bytes that are not UTF-8 become "\n", "\t", "\x1b".
std::string printable(std::string_view text);

/// One word of a shell's command line, quoted if necessary, with "./" before a leading dash.
std::string shell_word(std::string_view path);

/// A path as text for JSON: the path itself, or, if it is not UTF-8, the URI of its absolute form,
/// "file:///caf%E9/x.npy" (RFC 8089).
std::string path_to_json(const std::filesystem::path& path);
/// The inverse of path_to_json. Throws Error for a URI that path_to_json cannot have written.
std::string path_from_json(const std::string& text);

}  // namespace cuvae
