#include "data/file_content.h"

#include <algorithm>

namespace cuvae {

FileContent::FileContent(const std::filesystem::path& path)
    : name_(path.string()), file_(std::make_shared<const MappedFile>(path)) {
  if (!is_gzip(file_->bytes())) return;
  decompressed_ = std::make_shared<std::vector<std::uint8_t>>();
  gzip_.emplace(file_->bytes(), name_);
}

std::span<const std::uint8_t> FileContent::front(std::size_t count) {
  if (gzip_) gzip_->extend(*decompressed_, count);
  const std::span<const std::uint8_t> all = gzip_ ? std::span<const std::uint8_t>(*decompressed_) : file_->bytes();
  return all.first(std::min(count, all.size()));
}

std::span<const std::uint8_t> FileContent::require(std::size_t count, const std::string& claim) {
  const auto bytes = front(count);
  if (bytes.size() < count) throw error("truncated", bytes.size(), claim + " " + std::to_string(count) + " bytes");
  return bytes;
}

Error FileContent::error(const std::string& condition, std::size_t offset, const std::string& detail) const {
  return Error(name_ + ": " + condition + " at byte " + std::to_string(offset) +
               (gzip_ ? " of the decompressed stream: " : ": ") + detail);
}

std::shared_ptr<const void> FileContent::owner() const {
  if (gzip_) return decompressed_;
  return file_;
}

}  // namespace cuvae
