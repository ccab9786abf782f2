// A regular file in memory: read whole, or mapped where it is large.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "io/file_descriptor.h"

namespace cuvae {

/// Files of more bytes than this are mapped, others read: at first a quarter of what the process may take of memory.
std::size_t& largest_read();

/// Throws Error for a path that is missing, empty, unreadable or not a regular file, and for one that changes while it
/// is read. What is read stays as it is. What is mapped follows the file: changed() tells, and where the file was cut
/// short, reading ends the program by SIGBUS, unless the program handles it (see mapped_at).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::uint8_t> bytes() const { return {address_, size_}; }
  const std::string& name() const { return name_; }
  bool mapped() const { return !content_; }
  /// Whether a mapped file was written, cut or replaced since it was opened, by its size and times.
  bool changed() const;

 private:
  void read();
  void map();

  std::string name_;
  FileDescriptor file_;
  struct stat opened_ {};
  std::unique_ptr<std::uint8_t[]> content_;
  const std::uint8_t* address_ = nullptr;
  std::size_t size_ = 0;
  int slot_ = -1;  // in the list of mapped_at
};

/// The mapped file that holds this address, or null. Safe in a handler of signals. Knows up to 64 files at once.
const MappedFile* mapped_at(const void* address);

}  // namespace cuvae
