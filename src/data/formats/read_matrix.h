// Reads a matrix of numbers from a file of any supported format.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "cuvae/dataset.h"
#include "data/formats/convert.h"

namespace cuvae {

struct Matrix {
  std::string name;         // of the file, for messages
  std::vector<Index> dims;  // N, and the dimensions whose product is D
  Values values;
};

/// Throws Error in the same cases as Dataset::open, and, before the values are read, for a D that is not in `widths`,
/// unless `widths` is empty.
Matrix read_matrix(const std::filesystem::path& path, const std::vector<Index>& widths, NaNs nans);

}  // namespace cuvae
