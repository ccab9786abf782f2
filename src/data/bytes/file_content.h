// The content of a file from its front, whether it is a regular file or a stream, gzipped or not.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cuvae/error.h"
#include "data/bytes/byte_source.h"
#include "data/bytes/mapped_file.h"

namespace cuvae {

class FileContent {
 public:
  /// A regular file, a pipe, or "-" for the standard input.
  explicit FileContent(const std::filesystem::path& path);
  /// A part of another file, with a name for messages.
  FileContent(std::string name, std::unique_ptr<ByteSource> source);

  /// The first `count` bytes, or all where there are fewer. A stream is read, and a gzipped file decompressed, only
  /// this far; the memory grows with the bytes that really come, so that `count` may be an unchecked claim. The span
  /// is good until the next call.
  std::span<const std::uint8_t> front(std::size_t count);

  /// The same, but throws where the content ends early: "x: truncated at byte 7: <claim> 16 bytes".
  std::span<const std::uint8_t> require(std::size_t count, const std::string& claim);

  /// The next bytes from the beginning on, without keeping them; 0 at the end. No front() after the first call.
  std::size_t read(std::span<std::uint8_t> out);

  /// "<file>: <condition> at byte <offset>: <detail>".
  Error error(const std::string& condition, std::size_t offset, const std::string& detail) const;

  /// Keeps the bytes of the last `front` alive.
  std::shared_ptr<const void> owner() const;

  const std::string& name() const { return name_; }
  bool gzipped() const { return gzipped_; }

 private:
  std::string name_;
  bool gzipped_ = false;
  std::shared_ptr<const MappedFile> file_;            // a regular file that is not gzipped; else
  std::unique_ptr<ByteSource> source_;                // where more bytes come from, and
  std::shared_ptr<std::vector<std::uint8_t>> bytes_;  // those that came
  std::size_t read_ = 0;                              // bytes given out by read()
};

}  // namespace cuvae
