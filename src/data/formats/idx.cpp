#include "data/formats/idx.h"

#include <string>

namespace cuvae {
namespace {

constexpr std::size_t kFixedBytes = 4;

Element element_of(const FileContent& content, unsigned type) {
  using Kind = Element::Kind;
  switch (type) {
    case 0x08:
      return {Kind::unsigned_integer, 1, true};
    case 0x09:
      return {Kind::signed_integer, 1, true};
    case 0x0B:
      return {Kind::signed_integer, 2, true};
    case 0x0C:
      return {Kind::signed_integer, 4, true};
    case 0x0D:
      return {Kind::floating, 4, true};
    case 0x0E:
      return {Kind::floating, 8, true};
    default:
      throw content.error(
          "unsupported IDX element type", 2,
          "it is " + std::to_string(type) +
              ", but must be 8 (uint8), 9 (int8), 11 (int16), 12 (int32), 13 (float32) or 14 (float64)");
  }
}

}  // namespace

ArrayHeader read_idx_header(FileContent& content) {
  const auto fixed = content.require(kFixedBytes, "an IDX header begins with");
  ArrayHeader header;
  header.element = element_of(content, fixed[2]);
  const std::size_t dim_count = fixed[3];
  if (dim_count == 0) throw content.error("no dimensions", 3, "the IDX header says 0");
  header.dims_offset = kFixedBytes;
  header.data_offset = kFixedBytes + 4 * dim_count;

  const auto bytes = content.require(header.data_offset, "the IDX header has");
  for (std::size_t at = kFixedBytes; at < header.data_offset; at += 4) {
    header.dims.push_back(Index{bytes[at]} << 24 | Index{bytes[at + 1]} << 16 | Index{bytes[at + 2]} << 8 |
                          Index{bytes[at + 3]});
  }
  return header;
}

}  // namespace cuvae
