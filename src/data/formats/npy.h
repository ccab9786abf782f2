// NumPy's NPY format: magic, version, header length, a Python dict literal as text, the values.
#pragma once
#include <filesystem>
#include <ostream>
#include <string_view>
#include <vector>

#include "data/formats/array_header.h"

namespace cuvae {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// Reads headers of versions 1, 2 and 3 of arrays of bool, integers, float16, float32 and float64, of either byte
/// order, in C or Fortran order; sizes are not checked here.
ArrayHeader read_npy_header(FileContent& content);

/// Writes a float32 array to a file, completely or not at all.
void write_npy(const std::filesystem::path& path, const float* data, const std::vector<Index>& shape);
inline void write_npy(const std::filesystem::path& path, const float* data, Index rows, Index cols) {
  write_npy(path, data, {rows, cols});
}
/// Writes the same bytes to a stream.
void write_npy(std::ostream& out, const float* data, const std::vector<Index>& shape);
/// Writes float64 [N] to a file, likewise.
void write_npy(const std::filesystem::path& path, const std::vector<double>& values);

}  // namespace cuvae
