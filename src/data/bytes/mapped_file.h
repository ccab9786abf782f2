// A regular file in memory: read completely, or mapped if it is large.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "io/file_descriptor.h"

namespace cuvae {

/// Larger files are mapped, others are read. The initial value is a quarter of the memory that the process may use.
std::size_t& largest_read();

/// Throws Error for a path that is missing, empty, unreadable or not a regular file, and for a file that changes while
/// it is read. A copy in memory never changes. A mapping changes with the file; changed() reports it. If the file is
/// cut short, reading the mapping raises SIGBUS, which ends the program unless it handles the signal (see mapped_at).
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
  int slot_ = -1;  // the index in the list of mapped_at
};

/// The mapped file that contains this address, or null. Safe in a signal handler. At most 64 files are known at once.
const MappedFile* mapped_at(const void* address);

}  // namespace cuvae
