#include "data/gzip.h"

#define ZLIB_CONST
#include <zlib.h>

#include <algorithm>
#include <new>
#include <utility>

namespace cuvae {
namespace {

constexpr std::size_t kFirstStep = 1 << 16;
constexpr std::size_t kMostPerCall = 1 << 30;  // zlib counts in 32 bits
constexpr int kGzipWindow = 16 + MAX_WBITS;    // zlib's way to ask for gzip headers and checksums

uInt clamp_to_call(std::size_t size) { return static_cast<uInt>(std::min(size, kMostPerCall)); }

}  // namespace

void GzipReader::Deleter::operator()(z_stream_s* stream) const {
  inflateEnd(stream);
  delete stream;
}

GzipReader::GzipReader(std::span<const std::uint8_t> compressed, std::string file_name)
    : compressed_(compressed), file_name_(std::move(file_name)), stream_(new z_stream{}) {
  if (inflateInit2(stream_.get(), kGzipWindow) != Z_OK) throw Error(file_name_ + ": zlib could not start");
}

void GzipReader::extend(std::vector<std::uint8_t>& bytes, std::size_t count) {
  while (bytes.size() < count && !at_end_) {
    const std::size_t filled = bytes.size();
    const std::size_t target = std::min(count, std::max(kFirstStep, 2 * filled));
    try {
      bytes.reserve(target);
    } catch (const std::bad_alloc&) {
      throw error("out of memory", std::to_string(filled) + " bytes are decompressed and there are more");
    }
    bytes.resize(target);
    bytes.resize(filled + inflate_into(std::span(bytes).subspan(filled)));
  }
}

// Fills `out` unless the stream ends first; returns the number of bytes written.
std::size_t GzipReader::inflate_into(std::span<std::uint8_t> out) {
  std::size_t produced = 0;
  while (produced < out.size() && !at_end_) {
    stream_->next_in = compressed_.data() + consumed_;
    stream_->avail_in = clamp_to_call(compressed_.size() - consumed_);
    stream_->next_out = out.data() + produced;
    stream_->avail_out = clamp_to_call(out.size() - produced);
    const int status = inflate(stream_.get(), Z_NO_FLUSH);
    consumed_ = static_cast<std::size_t>(stream_->next_in - compressed_.data());
    produced = static_cast<std::size_t>(stream_->next_out - out.data());

    if (status == Z_STREAM_END) {
      at_end_ = consumed_ == compressed_.size();
      if (!at_end_) inflateReset(stream_.get());  // the next member begins here
    } else if (status == Z_BUF_ERROR) {
      throw error("truncated", "the gzip stream does not end there");
    } else if (status != Z_OK) {
      throw error("corrupt gzip stream", stream_->msg ? stream_->msg : "zlib status " + std::to_string(status));
    }
  }
  return produced;
}

Error GzipReader::error(const std::string& condition, const std::string& detail) const {
  return Error(file_name_ + ": " + condition + " at byte " + std::to_string(consumed_) + " of " +
               std::to_string(compressed_.size()) + " compressed bytes: " + detail);
}

}  // namespace cuvae
