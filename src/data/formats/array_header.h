// The header of an array file, the same for every format.
#pragma once
#include <cstddef>
#include <vector>

#include "cuvae/view.h"
#include "data/bytes/file_content.h"

namespace cuvae {

/// The type of one value in a file.
struct Element {
  enum class Kind { boolean, unsigned_integer, signed_integer, floating };

  Kind kind = Kind::unsigned_integer;
  std::size_t bytes = 1;  ///< 1, 2, 4 or 8
  bool big_endian = false;
};

struct ArrayHeader {
  Element element;
  std::vector<Index> dims;
  bool fortran_order = false;   // the first index changes fastest
  std::size_t dims_offset = 0;  // the place of the dimensions in the file, for messages
  std::size_t data_offset = 0;
  std::size_t data_bytes = 0;  // data_offset + data_bytes + 1 never overflows
};

/// Recognises the format by the first bytes, parses the header, and checks that the sizes are positive and fit 63 bits.
/// The sizes are still untrusted: read_payload compares them with the file.
ArrayHeader read_header(FileContent& content);

/// The bytes after the header. Throws Error if the content is shorter or longer than the header states.
std::span<const std::uint8_t> read_payload(FileContent& content, const ArrayHeader& header);

}  // namespace cuvae
