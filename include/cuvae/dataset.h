// Data sets: a matrix of examples in host memory, read from files as people have them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuvae/view.h"

namespace cuvae {

/// Which files of a folder to read: "train-images..." or "t10k-images..." / "test-images...".
enum class Split { train, test };

/// How the values of an example make a picture: [height, width, channels], or channels first.
struct ImageShape {
  Index height = 1, width = 0, channels = 1;
  bool channels_first = false;
};

/// Examples as rows of a matrix [N, D], uint8 pixels (0..255, meaning p / 255) or float32, in host memory.
/// A file is read, or decompressed, once; one that is larger than a quarter of the memory and needs no conversion is
/// mapped, and must then stay as it is: file_changed() tells, and where it was cut short, reading it raises SIGBUS.
/// Copies share the bytes.
class Dataset {
 public:
  /// Opens one file, or the images of `split` in a folder. "-" is the standard input. The first bytes tell the format;
  /// IDX, NPY and CSV may be gzipped, and all may come through a pipe, which is read once:
  ///
  /// - IDX (MNIST's format): all six element types.
  /// - NPY, versions 1 to 3: bool, integers, float16, float32, float64, of either byte order, in C or Fortran order.
  /// - NPZ: the only array of the archive, or the one that "file.npz:NAME" names.
  /// - CSV: numbers separated by commas, tabs, semicolons or spaces, with or without a header line.
  ///
  /// In a folder the files have the names of MNIST (and Fashion-MNIST, KMNIST), EMNIST or QMNIST, with or without .gz,
  /// also where torchvision puts them (MNIST/raw ...). EMNIST stores its pictures transposed; they stay as they are.
  ///
  /// The first of two or more dimensions is N; all others are flattened into D. uint8 stays uint8, bool becomes 0 and
  /// 1, and other types become float32, rounded to nearest (so integers beyond 2^24 may lose their last digits).
  ///
  /// Throws Error, naming the file and the place in it, for anything missing, truncated, oversized, corrupt or foreign,
  /// for one dimension, for missing, NaN and infinite values and those beyond float32, and, before the values are read,
  /// for a D that is none of `widths`, unless these are empty.
  static Dataset open(const std::filesystem::path& path, Split split, const std::vector<Index>& widths = {});

  /// Wraps or copies examples that the program already has: `rows * cols` values.
  static Dataset from_memory(std::vector<std::uint8_t> pixels, Index rows, Index cols);
  static Dataset from_memory(std::vector<float> values, Index rows, Index cols);

  /// The same examples, each value divided by `scale`; uint8 by it in place of 255. uint8 stays where 255 / scale is
  /// whole and no quotient exceeds 1; other values become float32. Throws Error for a scale that is not positive, for
  /// quotients beyond float32, and where data were divided before.
  Dataset divided_by(float scale) const;

  Index rows() const { return rows_; }                      ///< N, examples
  Index cols() const { return cols_; }                      ///< D, values of one example
  Index image_height() const { return image_.height; }      ///< for pictures; 1 when the shape says nothing
  Index image_width() const { return image_.width; }        ///< height * width * channels == D
  Index image_channels() const { return image_.channels; }  ///< 3 of [N, H, W, 3] and [N, 3, H, W], else 1
  bool channels_first() const { return image_.channels_first; }
  std::pair<float, float> range() const;              ///< the least and the largest value, as row() gives them
  DType dtype() const { return dtype_; }              ///< u8 or f32
  float pixel_scale() const { return pixel_scale_; }  ///< what divided_by() was given; 0: nothing
  const void* data() const { return data_; }          ///< row-major, packed
  const std::string& name() const { return name_; }   ///< where it came from, for messages
  /// Whether a mapped file was written, cut or replaced since it was opened. Data in memory stay as they were.
  bool file_changed() const;
  std::uint32_t crc32() const;                ///< of all bytes: tells one data set from another on resume
  double mean(Index col) const;               ///< of one column, in [0, 1] units for u8
  std::vector<float> column_means() const;    ///< [D], in [0, 1] units for u8
  bool within_unit_interval() const;          ///< every value in [0, 1]: what a Bernoulli likelihood needs
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
  std::string name_;
};

/// The labels that belong to the images of a folder, or to one file of images, by their names; one byte an example,
/// empty when there are none. Throws Error as Dataset::open does, and when there are more or fewer labels than images.
std::vector<std::uint8_t> open_labels(const std::filesystem::path& path, Split split);

}  // namespace cuvae
