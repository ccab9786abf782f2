// Decompression of deflated bytes, as far as the caller asks and no further.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "cuvae/error.h"
#include "data/bytes/byte_source.h"

struct z_stream_s;

namespace cuvae {

/// One compressed stream after the other.
class Inflater {
 public:
  enum class Format { gzip, raw };  ///< gzip: with header and checksum; raw: deflated bytes alone

  /// `where` is what errors begin with: "x.gz: ".
  Inflater(std::unique_ptr<ByteSource> in, Format format, std::string where);

  /// Fills `out` unless the stream ends first; returns how many bytes were written. Throws Error for a truncated or
  /// corrupt stream.
  std::size_t read(std::span<std::uint8_t> out);

  bool ended() const { return ended_; }        ///< the stream ended, and its checksum was right
  std::span<const std::uint8_t> next_input();  ///< compressed bytes that follow, at least one unless there are none
  void skip_input(std::size_t count);          ///< of what next_input() gave
  void begin_next();                           ///< another stream begins with what follows
  Error error(const std::string& condition, const std::string& detail) const;  ///< names the compressed byte

 private:
  struct Deleter {
    void operator()(z_stream_s* stream) const;
  };

  std::unique_ptr<ByteSource> in_;
  std::string where_;
  std::unique_ptr<z_stream_s, Deleter> stream_;
  std::vector<std::uint8_t> input_;
  std::size_t filled_ = 0, used_ = 0;  // of input_
  std::size_t consumed_ = 0;           // compressed bytes since the beginning
  bool ended_ = false;
};

}  // namespace cuvae
