// The content of a file, read from its front: a regular file or a stream, gzipped or not.
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
  /// A part of another file. `name` is its name in messages.
  FileContent(std::string name, std::unique_ptr<ByteSource> source);

  /// The first `count` bytes, or all bytes if there are fewer. A stream is read, and a gzipped file is decompressed,
  /// only up to there. Memory grows with the bytes that arrive, so `count` may come from an untrusted header. The span
  /// is valid until the next call.
  std::span<const std::uint8_t> front(std::size_t count);

  /// The same, but throws Error if the content ends early: "x: truncated at byte 7: <claim> 16 bytes".
  std::span<const std::uint8_t> require(std::size_t count, const std::string& claim);

  /// Reads the next bytes without keeping them; returns 0 at the end. front() must not be called after this.
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
  std::shared_ptr<const MappedFile> file_;            // only for a regular file that is not gzipped
  std::unique_ptr<ByteSource> source_;                // for all other files: gives the bytes that follow
  std::shared_ptr<std::vector<std::uint8_t>> bytes_;  // bytes that were read from source_
  std::size_t read_ = 0;                              // bytes that read() has returned
};

}  // namespace cuvae
