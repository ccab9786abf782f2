// Decompression of a gzip stream, as far as the caller asks and no further.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cuvae/error.h"

struct z_stream_s;

namespace cuvae {

inline bool is_gzip(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/// One or more gzip members. Does not own the compressed bytes.
class GzipReader {
 public:
  GzipReader(std::span<const std::uint8_t> compressed, std::string file_name);

  /// Appends decompressed bytes until `bytes` holds `count` of them or the stream ends. The memory grows with the bytes
  /// that really come, so that `count` may be an unchecked claim. Throws Error for a truncated or corrupt stream.
  void extend(std::vector<std::uint8_t>& bytes, std::size_t count);

 private:
  struct Deleter {
    void operator()(z_stream_s* stream) const;
  };

  std::size_t inflate_into(std::span<std::uint8_t> out);
  Error error(const std::string& condition, const std::string& detail) const;

  std::span<const std::uint8_t> compressed_;
  std::string file_name_;
  std::unique_ptr<z_stream_s, Deleter> stream_;
  std::size_t consumed_ = 0;
  bool at_end_ = false;
};

}  // namespace cuvae
