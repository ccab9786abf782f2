// Decompression of deflated bytes, only as far as the caller asks.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "cuvae/error.h"
#include "data/bytes/byte_source.h"

struct z_stream_s;

namespace cuvae {

/// Decompresses one or more streams that follow each other.
class Inflater {
 public:
  enum class Format { gzip, raw };  ///< gzip: with header and checksum; raw: only deflated bytes

  /// Errors begin with `where`, such as "x.gz: ".
  Inflater(std::unique_ptr<ByteSource> in, Format format, std::string where);

  /// Fills `out` unless the stream ends first; returns how many bytes were written. Throws Error for a truncated or
  /// corrupt stream.
  std::size_t read(std::span<std::uint8_t> out);

  bool ended() const { return ended_; }        ///< whether the stream ended with the right checksum
  std::span<const std::uint8_t> next_input();  ///< the compressed bytes that follow; empty only at the end
  void skip_input(std::size_t count);          ///< skips bytes of next_input()
  void begin_next();                           ///< begins another stream with the bytes that follow
  Error error(const std::string& condition,
              const std::string& detail) const;  ///< names the place in the compressed bytes

 private:
  struct Deleter {
    void operator()(z_stream_s* stream) const;
  };

  std::unique_ptr<ByteSource> in_;
  std::string where_;
  std::unique_ptr<z_stream_s, Deleter> stream_;
  std::vector<std::uint8_t> input_;
  std::size_t filled_ = 0, used_ = 0;  // bytes of input_
  std::size_t consumed_ = 0;           // compressed bytes since the beginning
  bool ended_ = false;
};

}  // namespace cuvae
