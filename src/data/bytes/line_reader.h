// Lines of text.
#pragma once
#include <string_view>
#include <vector>

#include "data/bytes/file_content.h"

namespace cuvae {

/// Reads a content from its beginning line by line; LF, CRLF and CR end lines, and a byte order mark of UTF-8 is
/// skipped.
class LineReader {
 public:
  explicit LineReader(FileContent& content);

  /// Moves to the next line; false at the end. Throws Error for a line longer than 64 MiB.
  bool next();
  std::string_view line() const { return line_; }  ///< without its end; good until the next call
  std::size_t number() const { return number_; }   ///< of the line, from 1

 private:
  bool fill();

  FileContent& content_;
  std::vector<std::uint8_t> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what is still to be given out
  std::string_view line_;
  std::size_t number_ = 0;
  bool after_cr_ = false;
};

}  // namespace cuvae
