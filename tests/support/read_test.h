// Reads a file with given bytes. Returns the data set, or the text of the error after the file's name.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cuvae/dataset.h"
#include "dataset_files.h"
#include "error_text.h"
#include "temp_dir.h"

namespace cuvae::test {

inline Dataset read_bytes_as_data(const std::string& bytes) {
  static const TempDir dir;
  return Dataset::open(write(dir / "x", bytes), Split::train);
}

inline std::string read_error(const std::string& bytes) {
  static const TempDir dir;
  const auto path = write(dir / "x", bytes);
  const std::string text = error_text([&] { Dataset::open(path, Split::train); }), prefix = path.string();
  EXPECT_TRUE(text.starts_with(prefix)) << text;
  std::string rest = text.substr(std::min(prefix.size(), text.size()));
  return rest.starts_with(": ") ? rest.substr(2) : rest;
}

/// All values, unchanged: uint8 is not divided by 255.
inline std::vector<float> values_of(const Dataset& set) {
  const auto count = static_cast<std::size_t>(set.rows() * set.cols());
  if (set.dtype() == DType::u8) {
    const auto* const bytes = static_cast<const std::uint8_t*>(set.data());
    return {bytes, bytes + count};
  }
  const auto* const values = static_cast<const float*>(set.data());
  return {values, values + count};
}

}  // namespace cuvae::test
