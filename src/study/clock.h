// The time in milliseconds, and the median of several times.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace cuvae::bench {

inline double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// For an even count the larger of the two middle values; 0 for no values.
inline double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

}  // namespace cuvae::bench
