#include "data/bytes/inflate.h"

#define ZLIB_CONST
#include <zlib.h>

#include <algorithm>
#include <utility>

namespace cuvae {
namespace {

constexpr std::size_t kInputBytes = 1 << 16;
constexpr std::size_t kMostPerCall = 1 << 30;  // zlib counts in 32 bits

// zlib's argument windowBits: for the gzip format with header and checksum, or for raw deflated bytes.
int window_bits(Inflater::Format format) { return format == Inflater::Format::gzip ? 16 + MAX_WBITS : -MAX_WBITS; }

}  // namespace

void Inflater::Deleter::operator()(z_stream_s* stream) const {
  inflateEnd(stream);
  delete stream;
}

Inflater::Inflater(std::unique_ptr<ByteSource> in, Format format, std::string where)
    : in_(std::move(in)), where_(std::move(where)), stream_(new z_stream{}), input_(kInputBytes) {
  if (inflateInit2(stream_.get(), window_bits(format)) != Z_OK) throw Error(where_ + "zlib could not start");
}

std::span<const std::uint8_t> Inflater::next_input() {
  if (used_ == filled_) {
    used_ = 0;
    filled_ = in_->read(input_);
  }
  return std::span<const std::uint8_t>(input_).subspan(used_, filled_ - used_);
}

void Inflater::skip_input(std::size_t count) {
  used_ += count;
  consumed_ += count;
}

void Inflater::begin_next() {
  inflateReset(stream_.get());
  ended_ = false;
}

std::size_t Inflater::read(std::span<std::uint8_t> out) {
  std::size_t produced = 0;
  while (produced < out.size() && !ended_) {
    const auto in = next_input();
    stream_->next_in = in.data();
    stream_->avail_in = static_cast<uInt>(in.size());
    stream_->next_out = out.data() + produced;
    stream_->avail_out = static_cast<uInt>(std::min(out.size() - produced, kMostPerCall));
    const int status = inflate(stream_.get(), Z_NO_FLUSH);
    skip_input(in.size() - stream_->avail_in);
    produced = static_cast<std::size_t>(stream_->next_out - out.data());

    if (status == Z_STREAM_END) {
      ended_ = true;
    } else if (status == Z_BUF_ERROR) {
      throw error("truncated", "the compressed stream is not complete");
    } else if (status == Z_MEM_ERROR) {
      throw error("out of memory", "zlib needs more memory");
    } else if (status != Z_OK) {
      throw error("corrupt compressed stream", stream_->msg ? stream_->msg : "zlib status " + std::to_string(status));
    }
  }
  return produced;
}

Error Inflater::error(const std::string& condition, const std::string& detail) const {
  return Error(where_ + condition + " at byte " + std::to_string(consumed_) + " of the compressed bytes: " + detail);
}

}  // namespace cuvae
