// Data sets: a matrix of examples in host memory, read from IDX or NPY files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cuvae/view.h"

namespace cuvae {

/// Which files of a folder to read: "train-images..." or "t10k-images..." / "test-images...".
enum class Split { train, test };

/// Examples as rows of a matrix [N, D], uint8 pixels (0..255, meaning p / 255) or float32, in host memory.
/// An uncompressed file is mapped, not read; a gzipped one is decompressed once. Copies share the bytes.
class Dataset {
 public:
  /// Opens a folder of IDX files (MNIST's names, each with or without .gz), one IDX file, or one NPY file
  /// (uint8 or float32, two or more dimensions, C order). All dimensions after the first are flattened into D.
  /// Throws Error, naming the file and the byte offset, for anything missing, truncated, oversized, corrupt or foreign,
  /// for labels given as images, and for NaN or infinite values.
  static Dataset open(const std::filesystem::path& path, Split split);

  /// Wraps or copies examples that the program already has: `rows * cols` values.
  static Dataset from_memory(std::vector<std::uint8_t> pixels, Index rows, Index cols);
  static Dataset from_memory(std::vector<float> values, Index rows, Index cols);

  /// The same examples, each value divided by `scale`; uint8 by it in place of 255. uint8 stays where 255 / scale is
  /// whole and no quotient exceeds 1; other values become float32. Throws Error for a scale that is not positive, for
  /// quotients beyond float32, and where data were divided before.
  Dataset divided_by(float scale) const;

  Index rows() const { return rows_; }                ///< N, examples
  Index cols() const { return cols_; }                ///< D, values of one example
  Index image_height() const { return height_; }      ///< for pictures; 1 when the shape says nothing
  Index image_width() const { return width_; }        ///< image_height * image_width == D
  DType dtype() const { return dtype_; }              ///< u8 or f32
  float pixel_scale() const { return pixel_scale_; }  ///< what divided_by() was given; 0: nothing
  const void* data() const { return data_; }          ///< row-major, packed
  const std::string& name() const { return name_; }   ///< where it came from, for messages
  std::uint32_t crc32() const;                        ///< of all bytes: tells one data set from another on resume
  double mean(Index col) const;                       ///< of one column, in [0, 1] units for u8
  std::vector<float> column_means() const;            ///< [D], in [0, 1] units for u8
  bool within_unit_interval() const;                  ///< every value in [0, 1]: what a Bernoulli likelihood needs
  std::vector<float> row(Index index) const;          ///< one example as float32, u8 divided by 255

 private:
  template <typename Value>
  static Dataset wrap(std::vector<Value> values, Index rows, Index cols);
  double value(Index index) const;

  std::shared_ptr<const void> owner_;  // the mapping or the vector behind data_
  const void* data_ = nullptr;
  Index rows_ = 0, cols_ = 0, height_ = 1, width_ = 0;
  DType dtype_ = DType::u8;
  float pixel_scale_ = 0;
  std::string name_;
};

/// The labels beside the images of a folder of IDX files, one byte an example; empty when the folder has none.
/// Throws Error as Dataset::open does, and when there are more or fewer labels than images.
std::vector<std::uint8_t> open_labels(const std::filesystem::path& folder, Split split);

}  // namespace cuvae
