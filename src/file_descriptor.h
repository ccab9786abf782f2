// An owned POSIX file descriptor.
#pragma once
#include <unistd.h>

#include <utility>

namespace cuvae {

/// Closes its descriptor at the end of its life. Holds -1 when the call that should have opened it failed.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Closes now and returns what close returned: a network file system may report a lost write only here.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

}  // namespace cuvae
