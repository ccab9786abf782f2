// Pictures and PNG files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cuvae/view.h"

namespace cuvae {

/// Eight-bit gray or RGB, row by row from the top.
struct Image {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  ///< [height * width * channels]
  int channels = 1;                  ///< 1: gray, 3: RGB
  std::string description = {};      ///< in Latin-1; the chunk tEXt "Description" of a file, where not empty
};

/// How the values of one example make a picture.
struct PictureLayout {
  Index height = 1, width = 1, channels = 1;
  bool channels_first = false;       ///< [channels, height, width] in place of [height, width, channels]
  float black = 0.0F, white = 1.0F;  ///< the values shown so
};

inline constexpr Index kLongestImageSide = 16384;  ///< stb counts bytes in int

/// Lays pictures out in a grid, row by row, at most `columns` in a row, with `padding` dark gray pixels around each,
/// and shows every pixel as a square of scale x scale. `values` is [count, height * width * channels]: values beyond
/// black and white are clamped, NaN becomes black. Throws Error when an argument or a side of the result is out of
/// range.
Image image_grid(const float* values, Index count, const PictureLayout& layout, Index columns, Index padding = 2,
                 Index scale = 1);

void write_png(const std::filesystem::path& path, const Image& image);  ///< atomically
Image read_png(const std::filesystem::path& path);                      ///< gray, or RGB where the file has colors

}  // namespace cuvae
