// A backend's values on the host.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

#include "cuvae/backend.h"

namespace cuvae {

/// values[i] = value i of y, f32 or bf16.
inline void read_values(Backend& backend, ConstView y, float* values) {
  if (y.dtype == DType::f32)
    return backend.download(values, y.data, static_cast<std::size_t>(y.size()) * sizeof(float));
  std::vector<std::uint16_t> halves(static_cast<std::size_t>(y.size()));
  backend.download(halves.data(), y.data, halves.size() * sizeof halves[0]);
  for (const std::uint16_t half : halves) *values++ = std::bit_cast<float>(std::uint32_t{half} << 16);
}

}  // namespace cuvae
