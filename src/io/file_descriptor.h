// An owned POSIX file descriptor.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <utility>

namespace cuvae {

/// Closes its descriptor in the destructor. Holds -1 if the descriptor could not be opened.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Closes now and returns the result of close. A network file system may report a lost write only here.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

/// Like open(2), but closed on exec and retried after a signal. Never returns descriptor 0, 1 or 2: text for a closed
/// standard output would otherwise be written to the file. Sets errno on failure.
FileDescriptor open_file(const std::filesystem::path& path, int flags, mode_t mode = 0666);

/// Writes all bytes; returns 0, or the errno of the write that failed.
int write_all(const FileDescriptor& file, const char* bytes, std::size_t count);

}  // namespace cuvae
