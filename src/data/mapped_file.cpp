#include "data/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "cuvae/error.h"
#include "file_descriptor.h"

namespace cuvae {
namespace {

Error system_error(const std::filesystem::path& path, const std::string& what) {
  return Error(path.string() + ": " + what + ": " + std::generic_category().message(errno));
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  // O_NONBLOCK: to open a fifo would otherwise wait for its writer.
  const FileDescriptor file = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) throw system_error(path, "cannot read");
  if (S_ISDIR(status.st_mode)) throw Error(path.string() + ": cannot read: a folder, not a file");
  if (!S_ISREG(status.st_mode)) throw Error(path.string() + ": cannot read: not a regular file");
  if (status.st_size == 0) throw Error(path.string() + ": the file is empty (0 bytes)");

  size_ = static_cast<std::size_t>(status.st_size);
  void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) throw system_error(path, "cannot map " + std::to_string(size_) + " bytes");
  address_ = address;
}

MappedFile::~MappedFile() { ::munmap(address_, size_); }

}  // namespace cuvae
