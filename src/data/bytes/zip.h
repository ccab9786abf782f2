// Zip archives as NumPy writes them: stored and deflated members, with 64-bit sizes.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/bytes/file_content.h"

namespace cuvae {

inline bool is_zip(std::span<const std::uint8_t> front) {
  return front.size() >= 4 && front[0] == 'P' && front[1] == 'K' && (front[2] == 3 || front[2] == 5);
}

/// The members of an archive. Keeps the bytes of the archive. Every length is checked before it is used.
class ZipArchive {
 public:
  struct Member {
    std::string name;
    unsigned flags = 0, method = 0;
    std::uint32_t crc = 0;
    std::uint64_t compressed = 0, size = 0, offset = 0;  // offset: of the member's own header
  };

  /// Throws Error for a damaged directory and for more than 10000 members.
  explicit ZipArchive(FileContent& content);

  const std::vector<Member>& members() const { return members_; }

  /// The bytes of one member. The last read throws Error unless size and checksum are those of the directory.
  std::unique_ptr<ByteSource> open(const Member& member) const;

 private:
  struct Directory {
    std::uint64_t offset = 0, bytes = 0, count = 0;
  };

  Directory find_directory() const;
  Directory find_directory64(std::size_t end) const;
  void read_directory(const Directory& directory);
  std::uint64_t number(std::uint64_t offset, unsigned bytes) const;
  std::string text(std::uint64_t offset, std::uint64_t bytes) const;
  void require(std::uint64_t offset, std::uint64_t bytes, const char* what) const;
  Error error(const std::string& condition, std::uint64_t offset, const std::string& detail) const;

  std::string name_;
  std::span<const std::uint8_t> bytes_;
  std::shared_ptr<const void> owner_;
  std::uint64_t directory_ = 0;  // its first byte; all members end before it
  std::vector<Member> members_;
};

}  // namespace cuvae
