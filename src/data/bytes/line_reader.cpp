#include "data/bytes/line_reader.h"

#include <algorithm>
#include <string>

namespace cuvae {
namespace {

constexpr std::size_t kFirstBuffer = 1 << 16, kLongestLine = std::size_t{64} << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

LineReader::LineReader(FileContent& content) : content_(content), buffer_(kFirstBuffer) {
  fill();
  const std::string_view front(reinterpret_cast<const char*>(buffer_.data()), end_);
  if (front.starts_with(kByteOrderMark)) begin_ = kByteOrderMark.size();
}

// Moves the unread bytes to the beginning of the buffer and reads more; returns false at the end.
bool LineReader::fill() {
  std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.begin() + static_cast<std::ptrdiff_t>(end_),
            buffer_.begin());
  end_ -= begin_;
  begin_ = 0;
  if (end_ == buffer_.size()) {
    if (end_ >= kLongestLine) {
      throw Error(content_.name() + ": line " + std::to_string(number_ + 1) + " is longer than " +
                  std::to_string(kLongestLine >> 20) + " MiB: is this a table?");
    }
    buffer_.resize(2 * buffer_.size());
  }
  const std::size_t got = content_.read(std::span(buffer_).subspan(end_));
  end_ += got;
  return got > 0;
}

bool LineReader::next() {
  if (after_cr_ && (begin_ < end_ || fill()) && buffer_[begin_] == '\n') ++begin_;  // the second half of CRLF
  after_cr_ = false;
  for (std::size_t searched = 0;;) {
    const std::uint8_t *const begin = buffer_.data() + begin_, *const end = buffer_.data() + end_;
    const std::uint8_t* const found =
        std::find_if(begin + searched, end, [](std::uint8_t c) { return c == '\n' || c == '\r'; });
    searched = static_cast<std::size_t>(found - begin);
    if (found == end) {
      if (fill()) continue;
      if (searched == 0) return false;
    }
    // fill() may have moved the bytes.
    line_ = {reinterpret_cast<const char*>(buffer_.data() + begin_), searched};
    const bool ended = begin_ + searched < end_;
    after_cr_ = ended && buffer_[begin_ + searched] == '\r';
    begin_ += searched + (ended ? 1 : 0);
    ++number_;
    return true;
  }
}

}  // namespace cuvae
