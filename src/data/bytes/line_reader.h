// Lines of text.
#pragma once
#include <string_view>
#include <vector>

#include "data/bytes/file_content.h"

namespace cuvae {

/// Reads a content line by line. LF, CRLF and CR end a line. A UTF-8 byte order mark is skipped.
class LineReader {
 public:
  explicit LineReader(FileContent& content);

  /// Moves to the next line; returns false at the end. Throws Error for a line longer than 64 MiB.
  bool next();
  std::string_view line() const { return line_; }  ///< without the line end; valid until the next call
  std::size_t number() const { return number_; }   ///< of the line; the first is 1

 private:
  bool fill();

  FileContent& content_;
  std::vector<std::uint8_t> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // the unread part of buffer_
  std::string_view line_;
  std::size_t number_ = 0;
  bool after_cr_ = false;
};

}  // namespace cuvae
