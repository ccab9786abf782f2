#include "data/bytes/zip.h"

#define ZLIB_CONST
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "data/bytes/inflate.h"
#include "io/json_text.h"

namespace cuvae {
namespace {

// Signatures and sizes of the fixed parts (PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16).
constexpr std::uint32_t kLocalHeader = 0x04034b50, kEntry = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kLocator64 = 0x07064b50;
constexpr std::uint64_t kLocalBytes = 30, kEntryBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr std::uint64_t kLongestComment = 65535, kMostMembers = 10000;
constexpr std::uint32_t kIn64 = 0xffffffff;  // means that the number is in the extra field
constexpr unsigned kEncrypted = 1, kStored = 0, kDeflated = 8, kExtra64 = 1;

/// Compares a member with the size and the checksum in the directory.
class MemberSource : public ByteSource {
 public:
  MemberSource(std::unique_ptr<ByteSource> stored, std::optional<Inflater> inflater, ZipArchive::Member member,
               std::string where)
      : stored_(std::move(stored)),
        inflater_(std::move(inflater)),
        member_(std::move(member)),
        where_(std::move(where)) {}

  std::size_t read(std::span<std::uint8_t> out) override {
    const std::size_t got = inflater_ ? inflater_->read(out) : stored_->read(out);
    crc_ = static_cast<std::uint32_t>(::crc32_z(crc_, out.data(), got));
    size_ += got;
    if (size_ > member_.size || (got < out.size() && size_ < member_.size)) fail_size();
    if (got < out.size() && crc_ != member_.crc)
      throw Error(where_ + "corrupt: its checksum (CRC-32) differs from the archive's");
    if (got < out.size() && inflater_ && !inflater_->next_input().empty()) fail_size();
    return got;
  }

 private:
  [[noreturn]] void fail_size() const {
    throw Error(where_ + "corrupt: its size is not the " + std::to_string(member_.size) +
                " bytes that the archive states");
  }

  std::unique_ptr<ByteSource> stored_;
  std::optional<Inflater> inflater_;
  ZipArchive::Member member_;
  std::string where_;
  std::uint32_t crc_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace

ZipArchive::ZipArchive(FileContent& content)
    : name_(content.name()), bytes_(content.front(std::numeric_limits<std::size_t>::max())), owner_(content.owner()) {
  read_directory(find_directory());
}

// Finds the record at the end of the archive, before its comment.
ZipArchive::Directory ZipArchive::find_directory() const {
  require(0, kEndBytes, "the directory's end");
  const std::uint64_t last = bytes_.size() - kEndBytes, first = last - std::min(last, kLongestComment);
  for (std::uint64_t at = last;; --at) {
    if (number(at, 4) == kEnd && at + kEndBytes + number(at + 20, 2) == bytes_.size()) {
      const Directory found = {number(at + 16, 4), number(at + 12, 4), number(at + 10, 2)};
      const bool in_64 = found.offset == kIn64 || found.bytes == kIn64 || found.count == 0xffff;
      return in_64 && at >= kLocatorBytes && number(at - kLocatorBytes, 4) == kLocator64 ? find_directory64(at) : found;
    }
    if (at == first) break;
  }
  throw error("no directory", bytes_.size(), "the zip archive is truncated");
}

ZipArchive::Directory ZipArchive::find_directory64(std::size_t end) const {
  const std::uint64_t at = number(end - kLocatorBytes + 8, 8);
  require(at, kEnd64Bytes, "the directory's 64-bit end");
  if (number(at, 4) != kEnd64) throw error("corrupt directory", at, "its 64-bit end is missing");
  return {number(at + 48, 8), number(at + 40, 8), number(at + 32, 8)};
}

void ZipArchive::read_directory(const Directory& directory) {
  require(directory.offset, directory.bytes, "the directory");
  if (directory.count > kMostMembers) {
    throw error("too many members", directory.offset,
                std::to_string(directory.count) + ", but at most " + std::to_string(kMostMembers) + " are read");
  }
  directory_ = directory.offset;
  std::uint64_t at = directory.offset;
  for (std::uint64_t i = 0; i < directory.count; ++i) {
    require(at, kEntryBytes, "the directory");
    if (number(at, 4) != kEntry) throw error("corrupt directory", at, "entry " + std::to_string(i) + " is missing");
    Member member;
    member.flags = static_cast<unsigned>(number(at + 8, 2));
    member.method = static_cast<unsigned>(number(at + 10, 2));
    member.crc = static_cast<std::uint32_t>(number(at + 16, 4));
    member.compressed = number(at + 20, 4);
    member.size = number(at + 24, 4);
    member.offset = number(at + 42, 4);
    const std::uint64_t name_bytes = number(at + 28, 2), extra_bytes = number(at + 30, 2);
    const std::uint64_t extra = at + kEntryBytes + name_bytes, next = extra + extra_bytes + number(at + 32, 2);
    require(at, next - at, "the directory");
    member.name = text(at + kEntryBytes, name_bytes);

    // The extra field is a list of (id, length, data). Id 1 has the numbers that need 64 bits, in this order.
    for (std::uint64_t field = extra; field + 4 <= extra + extra_bytes;) {
      const std::uint64_t data = field + 4, field_end = data + number(field + 2, 2);
      if (field_end > extra + extra_bytes) throw error("corrupt directory", field, "an extra field is too long");
      if (number(field, 2) == kExtra64) {
        std::uint64_t from = data;
        for (std::uint64_t* value : {&member.size, &member.compressed, &member.offset}) {
          if (*value != kIn64) continue;
          if (from + 8 > field_end) throw error("corrupt directory", field, "a 64-bit size is missing");
          *value = number(from, 8);
          from += 8;
        }
      }
      field = field_end;
    }
    members_.push_back(std::move(member));
    at = next;
  }
}

std::unique_ptr<ByteSource> ZipArchive::open(const Member& member) const {
  const std::string called = in_quotes(member.name);
  if ((member.flags & kEncrypted) != 0) throw Error(name_ + ": " + called + " is encrypted");
  if (member.method != kStored && member.method != kDeflated) {
    throw Error(name_ + ": " + called + " is compressed by method " + std::to_string(member.method) +
                ", but only stored (0) and deflated (8) members are read");
  }
  require(member.offset, kLocalBytes, "a member's header");
  if (number(member.offset, 4) != kLocalHeader) throw error("corrupt archive", member.offset, called + " is missing");
  const std::uint64_t name_bytes = number(member.offset + 26, 2);
  const std::uint64_t data = member.offset + kLocalBytes + name_bytes + number(member.offset + 28, 2);
  require(member.offset, data - member.offset, "a member's header");
  if (text(member.offset + kLocalBytes, name_bytes) != member.name)
    throw error("corrupt archive", member.offset, "its name differs from the directory's " + called);
  require(data, member.compressed, "a member");
  const std::uint64_t end = data + member.compressed;
  const bool overlaps = end > directory_ || std::any_of(members_.begin(), members_.end(), [&](const Member& other) {
                          return other.offset > member.offset && other.offset < end;
                        });
  if (overlaps) throw error("corrupt archive", data, called + " overlaps the next member");

  auto stored = std::make_unique<MemorySource>(bytes_.subspan(data, member.compressed), owner_);
  const std::string where = name_ + ": " + called + ": ";
  if (member.method == kStored) return std::make_unique<MemberSource>(std::move(stored), std::nullopt, member, where);
  return std::make_unique<MemberSource>(nullptr, Inflater(std::move(stored), Inflater::Format::raw, where), member,
                                        where);
}

// A little-endian number. The caller must have required its bytes.
std::uint64_t ZipArchive::number(std::uint64_t offset, unsigned bytes) const {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) value |= std::uint64_t{bytes_[offset + i]} << 8 * i;
  return value;
}

std::string ZipArchive::text(std::uint64_t offset, std::uint64_t bytes) const {
  const auto part = bytes_.subspan(offset, bytes);
  return {part.begin(), part.end()};
}

void ZipArchive::require(std::uint64_t offset, std::uint64_t bytes, const char* what) const {
  if (offset <= bytes_.size() && bytes <= bytes_.size() - offset) return;
  throw error(
      "truncated", bytes_.size(),
      std::string(what) + " has " + std::to_string(bytes) + " bytes from byte " + std::to_string(offset) + " on");
}

Error ZipArchive::error(const std::string& condition, std::uint64_t offset, const std::string& detail) const {
  return Error(name_ + ": " + condition + " at byte " + std::to_string(offset) + ": " + detail);
}

}  // namespace cuvae
