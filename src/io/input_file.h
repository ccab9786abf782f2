// Untrusted files: every length is checked before it is used.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "io/file_descriptor.h"

namespace cuvae {

/// A regular file, read from its beginning to its end. Throws Error, naming the file, if it is not a regular file.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);

  std::uint64_t size() const { return size_; }
  /// Reads the next `bytes` bytes. Throws Error, naming the byte offset, if the file ends before that.
  void read(void* to, std::size_t bytes);
  [[noreturn]] void fail(const std::string& reason) const;  ///< throws Error "path: reason"

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0, offset_ = 0;
};

/// Reads a whole file. Throws Error if it is larger than max_bytes.
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace cuvae
