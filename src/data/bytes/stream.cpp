#include "data/bytes/stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include "cuvae/error.h"
#include "io/file_descriptor.h"

namespace cuvae {
namespace {

Error cannot_read(const std::string& name, const std::string& reason) {
  return Error(name + ": cannot read: " + reason);
}

class DescriptorSource : public ByteSource {
 public:
  explicit DescriptorSource(const std::filesystem::path& path) : name_(display_name(path)) {
    if (!is_standard_input(path)) {
      opened_.emplace(open_file(path, O_RDONLY | O_NOCTTY));
      fd_ = opened_->get();
      if (fd_ < 0) throw cannot_read(name_, std::generic_category().message(errno));
    } else if (::isatty(fd_) == 1) {
      throw cannot_read(name_, "it is a terminal: pipe a file into it");
    }
  }

  std::size_t read(std::span<std::uint8_t> out) override {
    std::size_t filled = 0;
    while (filled < out.size()) {
      const ssize_t got = ::read(fd_, out.data() + filled, out.size() - filled);
      if (got == 0) break;
      if (got > 0) {
        filled += static_cast<std::size_t>(got);
      } else if (errno != EINTR) {
        throw cannot_read(name_, std::generic_category().message(errno));
      }
    }
    return filled;
  }

 private:
  std::string name_;
  std::optional<FileDescriptor> opened_;
  int fd_ = STDIN_FILENO;
};

}  // namespace

bool is_standard_input(const std::filesystem::path& path) { return path == "-"; }

bool is_stream(const std::filesystem::path& path) {
  std::error_code ignored;  // if this fails, opening the file fails too and reports the reason
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  return is_standard_input(path) || is_fifo(status) || is_socket(status);
}

std::unique_ptr<ByteSource> open_stream(const std::filesystem::path& path) {
  return std::make_unique<DescriptorSource>(path);
}

std::string display_name(const std::filesystem::path& path) {
  return is_standard_input(path) ? "standard input" : path.string();
}

}  // namespace cuvae
