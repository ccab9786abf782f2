#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>

#include "cuvae/error.h"

namespace {

thread_local long allocations_left = -1;  // number of allocations until one fails; negative: none fails

void* allocate(std::size_t bytes) {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "fuzz: %s\n", what.c_str());
  std::abort();
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

// AddressSanitizer asks for these: memory may run out, and operator new above is malloc().
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "allocator_may_return_null=1:alloc_dealloc_mismatch=0:detect_leaks=0";
}

namespace cuvae::fuzz {

MemoryFile::MemoryFile(const char* name) {
  std::string folder = (std::filesystem::temp_directory_path() / "cuvae-fuzz-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) die("no folder " + folder);
  folder_ = folder;
  path_ = folder_ / name;
  file_ = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (file_ < 0) die("no file in memory");
  std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(file_), path_);
}

MemoryFile::~MemoryFile() {
  ::close(file_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void MemoryFile::write(const std::uint8_t* data, std::size_t size) const {
  if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, data, size, 0) != static_cast<ssize_t>(size)) die("cannot write");
}

namespace {

void once(const std::function<void()>& f, long allocations) {
  allocations_left = allocations;
  std::string text;
  bool out_of_memory = false;
  try {
    f();
    allocations_left = -1;
  } catch (const Error& error) {
    allocations_left = -1;
    text = error.what();
  } catch (const std::bad_alloc&) {
    allocations_left = -1;
    out_of_memory = true;
  }
  if (out_of_memory && allocations < 0) die("takes more memory than there is");
  if (text.find('\n') != text.npos) die("an error of several lines: " + text);
}

}  // namespace

void run(const std::function<void()>& f) { once(f, -1); }

void run_with_failures(const std::uint8_t* data, std::size_t size, const std::function<void()>& f) {
  once(f, -1);
  const std::size_t hash = std::hash<std::string_view>()({reinterpret_cast<const char*>(data), size});
  if (hash % 4 == 0) once(f, static_cast<long>(hash / 4 % 200));
}

}  // namespace cuvae::fuzz
