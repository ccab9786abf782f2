// What the fuzz targets share: a file in memory, and a second try with an allocation that fails.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace cuvae::fuzz {

/// A file of this name whose bytes are in memory; one for the whole process.
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

/// Calls f, which may throw cuvae::Error of one line. Anything else ends the process.
void run(const std::function<void()>& f);

/// The same. For one input in four calls f again while an allocation fails, which one the bytes decide; then it may
/// also throw std::bad_alloc. Not for what holds nlohmann's JSON, whose destructor allocates and may not throw.
void run_with_failures(const std::uint8_t* data, std::size_t size, const std::function<void()>& f);

}  // namespace cuvae::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
