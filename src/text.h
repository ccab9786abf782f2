// Numbers in messages.
#pragma once
#include <cstdio>
#include <string>

namespace cuvae {

/// "0.001", "1e-05", "20": the shortest of %g's forms at `digits` significant digits.
inline std::string number(double x, int digits = 6) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, x);
  return text;
}

}  // namespace cuvae
