#include "data/bytes/mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <system_error>

#include "cuvae/error.h"
#include "process/system_memory.h"

namespace cuvae {
namespace {

// The mapped files, for mapped_at. If all slots are used, a file is not listed.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<const MappedFile*> file{nullptr};
};
std::array<Slot, 64> slots;

Error system_error(const std::string& name, const std::string& what) {
  return Error(name + ": " + what + ": " + std::generic_category().message(errno));
}

bool same_time(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

bool same_content(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && same_time(a.st_mtim, b.st_mtim) && same_time(a.st_ctim, b.st_ctim);
}

}  // namespace

std::size_t& largest_read() {
  static std::size_t bytes = memory_limit() / 4;
  return bytes;
}

const MappedFile* mapped_at(const void* address) {
  for (const Slot& slot : slots) {
    const MappedFile* const file = slot.file;
    if (file == nullptr) continue;
    const std::span<const std::uint8_t> bytes = file->bytes();
    if (address >= bytes.data() && address < bytes.data() + bytes.size()) return file;
  }
  return nullptr;
}

// O_NONBLOCK: otherwise opening a fifo would wait for a writer.
MappedFile::MappedFile(const std::filesystem::path& path)
    : name_(path.string()), file_(open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)) {
  if (!file_ || ::fstat(file_.get(), &opened_) != 0) throw system_error(name_, "cannot read");
  if (S_ISDIR(opened_.st_mode)) throw Error(name_ + ": cannot read: a folder, not a file");
  if (!S_ISREG(opened_.st_mode)) throw Error(name_ + ": cannot read: not a regular file");
  if (opened_.st_size == 0) throw Error(name_ + ": the file is empty (0 bytes)");
  size_ = static_cast<std::size_t>(opened_.st_size);
  size_ <= largest_read() ? read() : map();
}

void MappedFile::read() {
  content_ = std::make_unique_for_overwrite<std::uint8_t[]>(size_);
  address_ = content_.get();
  for (std::size_t filled = 0; filled < size_;) {
    const ssize_t got = ::read(file_.get(), content_.get() + filled, size_ - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(name_, "cannot read at byte " + std::to_string(filled));
    if (got == 0) break;  // the file was cut short; the check of its size below reports that
    filled += static_cast<std::size_t>(got);
  }
  struct stat now {};
  if (::fstat(file_.get(), &now) != 0) throw system_error(name_, "cannot read");
  if (!same_content(opened_, now)) throw Error(name_ + ": the file changed while it was read");
  file_.close();
}

void MappedFile::map() {
  void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.get(), 0);
  if (address == MAP_FAILED) throw system_error(name_, "cannot map " + std::to_string(size_) + " bytes");
  address_ = static_cast<const std::uint8_t*>(address);
  const auto slot = std::find_if(slots.begin(), slots.end(), [](Slot& s) { return !s.taken.exchange(true); });
  if (slot == slots.end()) return;
  slot_ = static_cast<int>(slot - slots.begin());
  slot->file = this;
}

bool MappedFile::changed() const {
  if (!mapped()) return false;
  struct stat now {};
  return ::fstat(file_.get(), &now) != 0 || !same_content(opened_, now);
}

MappedFile::~MappedFile() {
  if (!mapped()) return;
  if (slot_ >= 0) {
    Slot& slot = slots[static_cast<std::size_t>(slot_)];
    slot.file = nullptr;
    slot.taken = false;
  }
  ::munmap(const_cast<std::uint8_t*>(address_), size_);
}

}  // namespace cuvae
