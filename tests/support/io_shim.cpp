// Loaded before the C library, this records the calls that write files in a folder, and can let one of them fail:
//   CUVAE_IO_ROOT    the folder; calls for other files are not recorded
//   CUVAE_IO_LOG     a file to which each call adds a line: "fsync /the/file", "rename /from /to"
//   CUVAE_IO_FAULT   "fsync 3 28": the third fsync fails with errno 28, and the log has a line "fault"
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

const char* setting(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string path_of(int fd) {
  char path[4096];
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : std::string();
}

void log(const std::string& line) {
  static const auto real_open = next<int(const char*, int, ...)>("open");
  static const auto real_write = next<ssize_t(int, const void*, std::size_t)>("write");
  static const auto real_close = next<int(int)>("close");
  const int fd = real_open(setting("CUVAE_IO_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const std::string text = line + "\n";
  if (fd < 0 || real_write(fd, text.data(), text.size()) < 0) std::abort();
  real_close(fd);
}

// Records a call. Returns true, with errno set, if the call must fail.
bool fails(const char* call, const std::string& path, const std::string& more = "") {
  if (!path.starts_with(setting("CUVAE_IO_ROOT"))) return false;
  log(std::string(call) + " " + path + more);
  char name[16];
  int nth = 0, error = 0;
  if (std::sscanf(setting("CUVAE_IO_FAULT"), "%15s %d %d", name, &nth, &error) != 3) return false;
  static std::atomic<int> count{0};
  if (std::strcmp(name, call) != 0 || ++count != nth) return false;
  log("fault");
  errno = error;
  return true;
}

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  if (fails("open", path)) return -1;
  return next<int(const char*, int, ...)>(name)(path, flags, mode);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_as("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_as("open64", path, flags, mode);
}

ssize_t write(int fd, const void* bytes, std::size_t count) {
  if (fails("write", path_of(fd))) return -1;
  return next<ssize_t(int, const void*, std::size_t)>("write")(fd, bytes, count);
}

int fsync(int fd) {
  if (fails("fsync", path_of(fd))) return -1;
  return next<int(int)>("fsync")(fd);
}

int fdatasync(int fd) {
  if (fails("fsync", path_of(fd))) return -1;
  return next<int(int)>("fdatasync")(fd);
}

int ftruncate(int fd, off_t size) noexcept {
  if (fails("ftruncate", path_of(fd))) return -1;
  return next<int(int, off_t)>("ftruncate")(fd, size);
}

int close(int fd) {
  // The file is closed also if the call fails, as in Linux when it reports a lost write.
  const bool lost = fails("close", path_of(fd));
  const int error = errno, result = next<int(int)>("close")(fd);
  if (lost) errno = error;
  return lost ? -1 : result;
}

int rename(const char* from, const char* to) noexcept {
  if (fails("rename", from, std::string(" ") + to)) return -1;
  return next<int(const char*, const char*)>("rename")(from, to);
}

int unlink(const char* path) noexcept {
  if (fails("unlink", path)) return -1;
  return next<int(const char*)>("unlink")(path);
}

int remove(const char* path) noexcept {
  if (fails("unlink", path)) return -1;
  return next<int(const char*)>("remove")(path);
}

int mkdir(const char* path, mode_t mode) noexcept {
  if (fails("mkdir", path)) return -1;
  return next<int(const char*, mode_t)>("mkdir")(path, mode);
}
}
