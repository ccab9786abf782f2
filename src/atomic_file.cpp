#include "atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <streambuf>
#include <string>
#include <system_error>
#include <vector>

#include "cuvae/error.h"
#include "file_descriptor.h"

namespace cuvae {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw Error(path.string() + ": cannot write: " + reason);
}

[[noreturn]] void fail(const fs::path& path, int error) { fail(path, std::generic_category().message(error)); }

/// Buffers writes to a descriptor and keeps the first errno, which a stream alone would swallow.
class DescriptorBuffer : public std::streambuf {
 public:
  explicit DescriptorBuffer(int fd) : fd_(fd), buffer_(std::size_t{1} << 20) { reset(); }
  int error() const { return error_; }

 protected:
  int_type overflow(int_type next) override {
    if (sync() != 0) return traits_type::eof();
    if (traits_type::eq_int_type(next, traits_type::eof())) return traits_type::not_eof(next);
    return sputc(traits_type::to_char_type(next));
  }

  int sync() override {
    for (const char* from = pbase(); from != pptr() && error_ == 0;) {
      const ssize_t written = ::write(fd_, from, static_cast<std::size_t>(pptr() - from));
      if (written >= 0) {
        from += written;
      } else if (errno != EINTR) {
        error_ = errno;
      }
    }
    reset();
    return error_ == 0 ? 0 : -1;
  }

 private:
  void reset() { setp(buffer_.data(), buffer_.data() + buffer_.size()); }

  int fd_, error_ = 0;
  std::vector<char> buffer_;
};

/// Removes the file at the end of its life, unless it was renamed before.
class TemporaryFile {
 public:
  explicit TemporaryFile(fs::path path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  bool rename_to(const fs::path& target) {
    if (std::rename(path_.c_str(), target.c_str()) != 0) return false;
    path_.clear();
    return true;
  }

 private:
  fs::path path_;
};

/// The file that the rename replaces: behind symbolic links, and never a device or a folder.
fs::path resolve_target(const fs::path& path) {
  std::error_code ignored;  // what is wrong with the path shows when the temporary file is opened
  const fs::file_status status = fs::status(path, ignored);
  if (!fs::exists(status)) return path;
  if (!fs::is_regular_file(status)) fail(path, "not a regular file");
  return fs::canonical(path);
}

fs::path temporary_path(const fs::path& target) {
  static std::atomic<unsigned> count{0};  // tells the threads of one process apart
  const std::string suffix = ".tmp." + std::to_string(::getpid()) + "." + std::to_string(count++);
  return target.parent_path() / ("." + target.filename().string() + suffix);
}

}  // namespace

void write_file_atomically(const fs::path& path, const std::function<void(std::ostream&)>& write) {
  const fs::path target = resolve_target(path);
  const fs::path folder_path = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const FileDescriptor folder(::open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) fail(path, errno);

  const fs::path temporary = temporary_path(target);
  FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!file) fail(path, errno);
  TemporaryFile removed_on_failure(temporary);

  DescriptorBuffer buffer(file.get());
  std::ostream stream(&buffer);
  write(stream);
  stream.flush();
  if (buffer.error() != 0) fail(path, buffer.error());
  if (!stream) fail(path, "the writer failed");

  // The data must be on the disk before its name is, and the name before this returns.
  if (::fsync(file.get()) != 0 || file.close() != 0) fail(path, errno);
  if (!removed_on_failure.rename_to(target)) fail(path, errno);
  if (::fsync(folder.get()) != 0 && errno != EINVAL) fail(path, errno);  // EINVAL: this file system syncs no folders
}

}  // namespace cuvae
