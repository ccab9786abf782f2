// The content of a gzip file (RFC 1952).
#pragma once
#include <string>

#include "data/bytes/byte_source.h"
#include "data/bytes/inflate.h"

namespace cuvae {

inline bool is_gzip(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/// One or more gzip members. Zero bytes may follow them, as on tapes. Throws Error for a truncated or corrupt stream
/// and for other bytes after the last member.
class GzipSource : public ByteSource {
 public:
  GzipSource(std::unique_ptr<ByteSource> compressed, const std::string& file_name);
  std::size_t read(std::span<std::uint8_t> out) override;

 private:
  void skip_padding();

  Inflater inflater_;
  bool at_end_ = false;
};

}  // namespace cuvae
