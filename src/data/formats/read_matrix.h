// A matrix of numbers from a file of any format that the program reads.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/convert.h"

namespace cuvae {

struct Matrix {
  std::string name;         // of the file, for messages
  std::vector<Index> dims;  // N, and the dimensions whose product is D
  Values values;
};

/// Throws Error for anything that Dataset::open refuses, and, before the values are read, for a D that is none of
/// `widths`, unless these are empty.
Matrix read_matrix(const std::filesystem::path& path, const std::vector<Index>& widths);

}  // namespace cuvae
