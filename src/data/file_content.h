// The content of a file from its front, whether the file is gzipped or not.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cuvae/error.h"
#include "data/gzip.h"
#include "data/mapped_file.h"

namespace cuvae {

class FileContent {
 public:
  explicit FileContent(const std::filesystem::path& path);

  /// The first `count` bytes, or all where there are fewer. A gzipped file is decompressed only this far; the span is
  /// good until the next call.
  std::span<const std::uint8_t> front(std::size_t count);

  /// The same, but throws where the content ends early: "x: truncated at byte 7: <claim> 16 bytes".
  std::span<const std::uint8_t> require(std::size_t count, const std::string& claim);

  /// "<file>: <condition> at byte <offset>: <detail>".
  Error error(const std::string& condition, std::size_t offset, const std::string& detail) const;

  /// Keeps the bytes of the last `front` alive.
  std::shared_ptr<const void> owner() const;

  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::shared_ptr<const MappedFile> file_;
  std::shared_ptr<std::vector<std::uint8_t>> decompressed_;
  std::optional<GzipReader> gzip_;
};

}  // namespace cuvae
