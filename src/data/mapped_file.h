// A regular file mapped for reading.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>

namespace cuvae {

/// Throws Error for a path that is missing, empty, unreadable or not a regular file. The kernel backs the bytes by the
/// file: whoever truncates it while it is mapped ends the program, as with any mapping.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::uint8_t> bytes() const { return {static_cast<const std::uint8_t*>(address_), size_}; }

 private:
  void* address_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace cuvae
