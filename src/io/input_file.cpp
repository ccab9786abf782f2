#include "io/input_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <system_error>

#include "cuvae/error.h"

namespace cuvae {

// O_NONBLOCK: otherwise opening a fifo would wait for a writer.
InputFile::InputFile(std::filesystem::path path)
    : path_(std::move(path)), file_(open_file(path_, O_RDONLY | O_NONBLOCK)) {
  struct stat status {};
  if (!file_ || ::fstat(file_.get(), &status) != 0) fail("cannot read: " + std::generic_category().message(errno));
  if (!S_ISREG(status.st_mode)) fail("cannot read: not a regular file");
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read(void* to, std::size_t bytes) {
  for (char* next = static_cast<char*>(to); bytes > 0;) {
    const ssize_t got = ::read(file_.get(), next, bytes);
    if (got == 0) fail("ends at byte " + std::to_string(offset_) + ", " + std::to_string(bytes) + " bytes too early");
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read at byte " + std::to_string(offset_) + ": " + std::generic_category().message(errno));
    next += got;
    bytes -= static_cast<std::size_t>(got);
    offset_ += static_cast<std::uint64_t>(got);
  }
}

void InputFile::fail(const std::string& reason) const { throw Error(path_.string() + ": " + reason); }

std::string read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  InputFile file(path);
  if (file.size() > max_bytes) {
    file.fail("is " + std::to_string(file.size()) + " bytes, more than the " + std::to_string(max_bytes) + " allowed");
  }
  std::string text(file.size(), '\0');
  file.read(text.data(), text.size());
  return text;
}

}  // namespace cuvae
