#include "io/atomic_file.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <streambuf>
#include <string>
#include <system_error>
#include <vector>

#include "cuvae/error.h"
#include "io/file_descriptor.h"

namespace cuvae {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw Error(path.string() + ": cannot write: " + reason);
}

[[noreturn]] void fail(const fs::path& path, int error) { fail(path, std::generic_category().message(error)); }

/// Buffers writes to a descriptor and keeps the first errno, which a stream alone would lose.
class DescriptorBuffer : public std::streambuf {
 public:
  explicit DescriptorBuffer(const FileDescriptor& file) : file_(file), buffer_(std::size_t{1} << 20) { reset(); }
  int error() const { return error_; }

 protected:
  int_type overflow(int_type next) override {
    if (sync() != 0) return traits_type::eof();
    if (traits_type::eq_int_type(next, traits_type::eof())) return traits_type::not_eof(next);
    return sputc(traits_type::to_char_type(next));
  }

  int sync() override {
    if (error_ == 0) error_ = write_all(file_, pbase(), static_cast<std::size_t>(pptr() - pbase()));
    reset();
    return error_ == 0 ? 0 : -1;
  }

 private:
  void reset() { setp(buffer_.data(), buffer_.data() + buffer_.size()); }

  const FileDescriptor& file_;
  int error_ = 0;
  std::vector<char> buffer_;
};

constexpr const char *kTemporaryPrefix = ".cuvae.", *kTemporarySuffix = ".tmp";

// A short name: the target's name may already have the greatest length that the file system allows.
fs::path temporary_path(const fs::path& target) {
  static std::atomic<unsigned> count{0};  // a different name for each thread of the process
  const std::string number = std::to_string(::getpid()) + "." + std::to_string(count++);
  return target.parent_path() / (kTemporaryPrefix + number + kTemporarySuffix);
}

/// A new file in the target's folder. The destructor removes it unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& target) : path_(temporary_path(target)), file_(open()) {
    // A process of another machine or container may have the same number.
    while (!file_ && errno == EEXIST) {
      path_ = temporary_path(target);
      file_ = open();
    }
    if (!file_) path_.clear();
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  const FileDescriptor& descriptor() const { return file_; }
  int close() { return file_.close(); }
  bool rename_to(const fs::path& target) {
    if (std::rename(path_.c_str(), target.c_str()) != 0) return false;
    path_.clear();
    return true;
  }

 private:
  FileDescriptor open() const { return open_file(path_, O_WRONLY | O_CREAT | O_EXCL); }

  fs::path path_;
  FileDescriptor file_;
};

/// The file that the rename replaces: the target of symbolic links, never a device or a folder.
fs::path resolve_target(const fs::path& path) {
  std::error_code ignored;  // if this fails, opening the temporary file fails too and reports the reason
  const fs::file_status status = fs::status(path, ignored);
  if (!fs::exists(status)) return path;
  if (!fs::is_regular_file(status)) fail(path, "not a regular file");
  return fs::canonical(path);
}

}  // namespace

bool is_temporary_name(const std::string& name) {
  return name.starts_with(kTemporaryPrefix) && name.ends_with(kTemporarySuffix);
}

void refuse_link(const fs::path& path) {
  std::error_code ignored;  // if this fails, opening the file fails too and reports the reason
  if (fs::is_symlink(fs::symlink_status(path, ignored)))
    throw Error(path.string() + ": is a symbolic link, which is not followed here: remove it, or replace it by a file");
}

void sync_folder(const fs::path& folder) {
  const FileDescriptor descriptor = open_file(folder, O_RDONLY | O_DIRECTORY);
  if (!descriptor) fail(folder, errno);
  if (::fsync(descriptor.get()) != 0 && errno != EINVAL) fail(folder, errno);  // EINVAL: not supported here
}

void write_file_atomically(const fs::path& path, const std::function<void(std::ostream&)>& write) {
  const fs::path target = resolve_target(path);
  const fs::path folder_path = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const FileDescriptor folder = open_file(folder_path, O_RDONLY | O_DIRECTORY);
  if (!folder) fail(path, errno);

  TemporaryFile temporary(target);
  if (!temporary.descriptor()) fail(path, errno);

  DescriptorBuffer buffer(temporary.descriptor());
  std::ostream stream(&buffer);
  write(stream);
  stream.flush();
  if (buffer.error() != 0) fail(path, buffer.error());
  if (!stream) fail(path, "the writer failed");

  // The data must be on the disk before the name, and the name before this function returns.
  if (::fsync(temporary.descriptor().get()) != 0 || temporary.close() != 0) fail(path, errno);
  if (!temporary.rename_to(target)) fail(path, errno);
  if (::fsync(folder.get()) != 0 && errno != EINVAL) fail(path, errno);  // EINVAL: not supported by the file system
}

}  // namespace cuvae
