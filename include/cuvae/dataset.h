// Data sets: a matrix of examples in host memory, read from files of common formats.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuvae/types.h"
#include "cuvae/view.h"

namespace cuvae {

/// The files of a folder to read: "train-images...", or "t10k-images..." and "test-images...".
enum class Split { train, test };

/// What NaN is in data: an error, or a missing value.
enum class NaNs : std::uint8_t { refused, missing };

/// The layout of an example as a picture: [height, width, channels], or channels first.
struct ImageShape {
  Index height = 1, width = 0, channels = 1;
  bool channels_first = false;
};

/// Examples as rows of a matrix [N, D] in host memory: uint8 pixels (0..255, meaning p / 255) or float32.
/// A file is read, and decompressed, once. A file that needs no conversion and is larger than a quarter of the memory
/// is mapped instead. It must not change then: file_changed() tells whether it did, and reading a file that was cut
/// short raises SIGBUS. Copies of a Dataset share the bytes.
class Dataset {
 public:
  /// Opens one file, or the images of `split` in a folder. "-" is the standard input. The first bytes decide the
  /// format. IDX, NPY and CSV may be gzipped. All formats may come through a pipe, which is read once:
  ///
  /// - IDX (MNIST's format): all six element types.
  /// - NPY, versions 1 to 3: bool, integers, float16, float32, float64, of either byte order, in C or Fortran order.
  /// - NPZ: the only array of the archive, or array NAME for the path "file.npz:NAME".
  /// - CSV: numbers separated by commas, tabs, semicolons or spaces, with or without a header line.
  ///
  /// The files of a folder must have the names of MNIST (and Fashion-MNIST, KMNIST), EMNIST or QMNIST, with or without
  /// .gz. The folders of torchvision (MNIST/raw ...) are searched too. EMNIST's pictures stay transposed.
  ///
  /// The first of two or more dimensions is N; all others are flattened into D. uint8 stays uint8, bool becomes 0 and
  /// 1, and other types become float32, rounded to nearest (so integers beyond 2^24 may lose their last digits).
  ///
  /// Throws Error, naming the file and the place in it: for a file that is missing, truncated, too long, corrupt or of
  /// another format; for fewer than two dimensions; for values that are missing, NaN, infinite or beyond float32; and,
  /// before the values are read, for a D that is not in `widths`, unless `widths` is empty. With NaNs::missing, NaN is
  /// a missing value, and so is a field of CSV that is empty, NA or the like.
  static Dataset open(const std::filesystem::path& path, Split split, const std::vector<Index>& widths = {},
                      NaNs nans = NaNs::refused);

  /// Takes over examples that the program already has: `rows * cols` values. Throws Error for another number.
  static Dataset from_memory(std::vector<std::uint8_t> pixels, Index rows, Index cols);
  static Dataset from_memory(std::vector<float> values, Index rows, Index cols, NaNs nans = NaNs::refused);

  /// The same examples with each value divided by `scale`; for uint8 this replaces the division by 255. uint8 data stay
  /// uint8 if 255 / scale is a whole number and no quotient exceeds 1; otherwise the result is float32. Throws Error if
  /// the scale is not positive, if a quotient is beyond float32, or if the data have been divided before.
  Dataset divided_by(float scale) const;

  /// The same examples, with their labels as conditions: row i has a 1 in column labels[i] of `classes`, of the largest
  /// label and one more where `classes` is 0. Throws Error for another number of labels than rows, and for a label that
  /// is no class.
  Dataset with_labels(const std::vector<std::uint8_t>& labels, Index classes = 0) const;
  /// The same examples, with the rows of `columns` [N, C] as conditions; integers are numbers, not divided by 255.
  /// Throws Error for another number of rows.
  Dataset with_conditions(const Dataset& columns) const;
  ConditionKind condition() const { return condition_; }
  const Dataset* conditions() const { return conditions_.get(); }     ///< [N, C], or null
  std::vector<float> condition_rows(Index first, Index count) const;  ///< [count, C]; empty without conditions
  /// These values with the conditions of `other`: of the same examples in other units.
  Dataset with_conditions_of(const Dataset& other) const;
  /// The same examples, of which each value that is `value` before its division, by divided_by() or by 255, is missing:
  /// NaN. uint8 data become float32. Throws Error if the value is not finite, or was given before.
  Dataset with_missing(float value) const;

  Index rows() const { return rows_; }                      ///< N, examples
  Index cols() const { return cols_; }                      ///< D, values of one example
  Index image_height() const { return image_.height; }      ///< of a picture; 1 if the file has no such dimension
  Index image_width() const { return image_.width; }        ///< height * width * channels == D
  Index image_channels() const { return image_.channels; }  ///< 3 of [N, H, W, 3] and [N, 3, H, W], else 1
  bool channels_first() const { return image_.channels_first; }
  /// The smallest and the largest value that is not missing, scaled as in row(); infinity and -infinity if there is
  /// none.
  std::pair<float, float> range() const;
  DType dtype() const { return dtype_; }              ///< u8 or f32
  float pixel_scale() const { return pixel_scale_; }  ///< the argument of divided_by(); 0: not divided
  NaNs nans() const { return nans_; }                 ///< whether values may be missing
  std::optional<float> missing_value() const { return missing_value_; }  ///< the argument of with_missing()
  const void* data() const { return data_; }                             ///< row-major, packed
  const std::string& name() const { return name_; }                      ///< the file's name or "memory", for messages
  /// Whether a mapped file was written, cut or replaced since it was opened. False for data that are not mapped.
  bool file_changed() const;
  std::uint32_t crc32() const;  ///< of all bytes; resuming compares it to recognise data and conditions
  /// The mean of one column's values that are not missing, in [0, 1] units for u8. Throws Error if there is none.
  double mean(Index col) const;
  std::vector<float> column_means() const;  ///< [D], likewise
  bool within_unit_interval() const;        ///< whether every value is in [0, 1], as some likelihoods need, or missing
  std::vector<float> row(Index index) const;  ///< one example as float32, u8 divided by 255

 private:
  template <typename Value>
  static Dataset wrap(std::vector<Value> values, Index rows, Index cols);
  double value(Index index) const;

  std::shared_ptr<const void> owner_;  // the mapping or the vector behind data_
  const void* data_ = nullptr;
  Index rows_ = 0, cols_ = 0;
  ImageShape image_;
  DType dtype_ = DType::u8;
  float pixel_scale_ = 0;
  NaNs nans_ = NaNs::refused;
  std::optional<float> missing_value_;
  std::string name_;
  ConditionKind condition_ = ConditionKind::none;
  std::shared_ptr<const Dataset> conditions_;
};

/// The labels of the images in a folder, or of one file of images; the file names tell which labels belong to which
/// images. One byte per example; empty if there are no labels. Throws Error as Dataset::open does, and if the numbers
/// of labels and images differ.
std::vector<std::uint8_t> open_labels(const std::filesystem::path& path, Split split);

/// The labels of an IDX or NPY file with one dimension, of integers from 0 to 255; none for another file, whose numbers
/// Dataset::open reads. Throws Error as it does.
std::optional<std::vector<std::uint8_t>> open_label_vector(const std::filesystem::path& path);

}  // namespace cuvae
