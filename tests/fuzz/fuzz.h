// Shared by the fuzz targets: a file in memory, and a second try with a failing allocation.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace cuvae::fuzz {

/// A file with this name whose bytes are in memory. There is one for the whole process.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void write(const std::uint8_t* data, std::size_t size) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path folder_, path_;
  int file_ = -1;
};

/// Calls f. It may throw cuvae::Error with one line; everything else ends the process.
void run(const std::function<void()>& f);

/// The same. For one input in four, calls f again while one allocation fails; the bytes decide which one. f may then
/// also throw std::bad_alloc. Not for functions with nlohmann's JSON: its destructor allocates and must not throw.
void run_with_failures(const std::uint8_t* data, std::size_t size, const std::function<void()>& f);

}  // namespace cuvae::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
