// Grayscale pictures and PNG files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "cuvae/view.h"

namespace cuvae {

/// Eight-bit grayscale, row by row from the top.
struct Image {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  ///< [height * width]
};

/// Lays pictures out in a grid, row by row, at most `columns` in a row, with `padding` dark gray pixels around each,
/// and shows every pixel as a square of scale x scale. `values` is [count, height * width] in [0, 1]: values outside
/// are clamped, NaN becomes black. Throws Error when an argument or a side of the result is out of range.
Image image_grid(const float* values, Index count, Index height, Index width, Index columns, Index padding = 2,
                 Index scale = 1);

void write_png(const std::filesystem::path& path, const Image& image);  ///< atomically
Image read_png(const std::filesystem::path& path);                      ///< colors become gray

}  // namespace cuvae
