#include "data/formats/array_header.h"

#include <array>
#include <limits>
#include <string>
#include <string_view>

#include "data/formats/idx.h"
#include "data/formats/npy.h"

namespace cuvae {
namespace {

ArrayHeader parse_header(FileContent& content) {
  content.require(4, "a format's magic number has");
  const auto magic = content.front(6);
  const std::string_view text(reinterpret_cast<const char*>(magic.data()), magic.size());
  if (text == kNpyMagic) return read_npy_header(content);
  if (magic[0] == 0 && magic[1] == 0) return read_idx_header(content);
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    throw content.error("UTF-16 text", 0, "save the table as UTF-8");

  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned byte : magic.first(4)) hex += {' ', digits[byte / 16], digits[byte % 16]};
  throw content.error("unknown format (must be IDX, NPY, NPZ or CSV)", 0, "the file begins with" + hex);
}

}  // namespace

ArrayHeader read_header(FileContent& content) {
  ArrayHeader header = parse_header(content);
  auto bytes = static_cast<Index>(header.element.bytes);
  bool overflow = false;
  std::string shape;
  for (const Index dim : header.dims) {
    shape += (shape.empty() ? "" : " x ") + std::to_string(dim);
    overflow = __builtin_mul_overflow(bytes, dim, &bytes) || overflow;
  }
  for (const Index dim : header.dims) {
    if (dim <= 0) throw content.error("an empty dimension", header.dims_offset, "the shape is " + shape);
  }
  const Index most = std::numeric_limits<Index>::max() - static_cast<Index>(header.data_offset) - 1;
  if (overflow || bytes > most) {
    throw content.error("shape too large", header.dims_offset, shape + " values overflow 63 bits");
  }
  header.data_bytes = static_cast<std::size_t>(bytes);
  return header;
}

std::span<const std::uint8_t> read_payload(FileContent& content, const ArrayHeader& header) {
  const std::size_t promised = header.data_offset + header.data_bytes;
  // Reading one more byte finds a file that is too long, and makes zlib verify the checksum of a correct one.
  const auto bytes = content.front(promised + 1);
  if (bytes.size() > promised) {
    throw content.error("trailing bytes", promised,
                        "the header states " + std::to_string(promised) + " bytes in total");
  }
  return content.require(promised, "the header states").subspan(header.data_offset);
}

}  // namespace cuvae
