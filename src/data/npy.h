// NumPy's NPY format: magic, version, header length, a Python dict literal as text, the values.
#pragma once
#include <filesystem>
#include <string_view>

#include "data/array_header.h"

namespace cuvae {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// Reads headers of versions 1, 2 and 3 of uint8 and float32 arrays in C order; sizes are not checked here.
ArrayHeader read_npy_header(FileContent& content);

/// Writes a float32 matrix, whole or not at all.
void write_npy(const std::filesystem::path& path, const float* data, Index rows, Index cols);

}  // namespace cuvae
