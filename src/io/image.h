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
  std::string description = {};      ///< in Latin-1; written as the chunk tEXt "Description" if not empty
};

/// The layout of the values of one example as a picture.
struct PictureLayout {
  Index height = 1, width = 1, channels = 1;
  bool channels_first = false;       ///< [channels, height, width] instead of [height, width, channels]
  float black = 0.0F, white = 1.0F;  ///< the values shown as black and white
};

inline constexpr Index kLongestImageSide = 16384;  ///< stb counts bytes in int

/// Puts pictures into a grid, row by row, at most `columns` in a row, with `padding` dark gray pixels around each.
/// Every pixel becomes a square of scale x scale. `values` is [count, height * width * channels]. Values outside black
/// to white are clamped; NaN becomes black. Throws Error if an argument or a side of the result is out of range.
Image image_grid(const float* values, Index count, const PictureLayout& layout, Index columns, Index padding = 2,
                 Index scale = 1);

void write_png(const std::filesystem::path& path, const Image& image);  ///< atomically
Image read_png(const std::filesystem::path& path);                      ///< gray, or RGB if the file has colors

}  // namespace cuvae
