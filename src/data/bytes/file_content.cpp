#include "data/bytes/file_content.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "data/bytes/gzip.h"
#include "data/bytes/stream.h"

namespace cuvae {
namespace {

constexpr std::size_t kFirstStep = 1 << 16;

// The bytes that were already read from a stream, and then the rest of it.
class PrefixedSource : public ByteSource {
 public:
  PrefixedSource(std::vector<std::uint8_t> prefix, std::unique_ptr<ByteSource> rest)
      : bytes_(std::make_shared<std::vector<std::uint8_t>>(std::move(prefix))),
        prefix_(*bytes_, bytes_),
        rest_(std::move(rest)) {}

  std::size_t read(std::span<std::uint8_t> out) override {
    const std::size_t count = prefix_.read(out);
    return count + rest_->read(out.subspan(count));
  }

 private:
  std::shared_ptr<std::vector<std::uint8_t>> bytes_;
  MemorySource prefix_;
  std::unique_ptr<ByteSource> rest_;
};

}  // namespace

FileContent::FileContent(const std::filesystem::path& path)
    : name_(display_name(path)), bytes_(std::make_shared<std::vector<std::uint8_t>>()) {
  if (is_stream(path)) {
    source_ = open_stream(path);
    if (front(1).empty()) throw Error(name_ + ": the file is empty (0 bytes)");
    if (!is_gzip(front(2))) return;
    source_ = std::make_unique<PrefixedSource>(std::exchange(*bytes_, {}), std::move(source_));
  } else {
    file_ = std::make_shared<const MappedFile>(path);
    if (!is_gzip(file_->bytes())) return;
    source_ = std::make_unique<MemorySource>(file_->bytes(), file_);
    file_.reset();
  }
  gzipped_ = true;
  source_ = std::make_unique<GzipSource>(std::move(source_), name_);
}

FileContent::FileContent(std::string name, std::unique_ptr<ByteSource> source)
    : name_(std::move(name)), source_(std::move(source)), bytes_(std::make_shared<std::vector<std::uint8_t>>()) {}

std::span<const std::uint8_t> FileContent::front(std::size_t count) {
  if (file_) return file_->bytes().first(std::min(count, file_->bytes().size()));
  std::vector<std::uint8_t>& bytes = *bytes_;
  for (bool more = true; more && bytes.size() < count;) {
    const std::size_t filled = bytes.size(), target = std::min(count, std::max(kFirstStep, 2 * filled));
    try {
      bytes.resize(target);
    } catch (const std::bad_alloc&) {
      throw error("out of memory", filled, "the file has more bytes than fit into memory");
    }
    const std::size_t got = source_->read(std::span(bytes).subspan(filled));
    bytes.resize(filled + got);
    more = got == target - filled;
  }
  return std::span<const std::uint8_t>(bytes).first(std::min(count, bytes.size()));
}

std::span<const std::uint8_t> FileContent::require(std::size_t count, const std::string& claim) {
  const auto bytes = front(count);
  if (bytes.size() < count) throw error("truncated", bytes.size(), claim + " " + std::to_string(count) + " bytes");
  return bytes;
}

std::size_t FileContent::read(std::span<std::uint8_t> out) {
  const std::span<const std::uint8_t> front = file_ ? file_->bytes() : std::span<const std::uint8_t>(*bytes_);
  const std::size_t kept = std::min(out.size(), front.size() - std::min(read_, front.size()));
  if (kept > 0) std::memcpy(out.data(), front.data() + read_, kept);
  read_ += kept;
  return file_ ? kept : kept + source_->read(out.subspan(kept));
}

Error FileContent::error(const std::string& condition, std::size_t offset, const std::string& detail) const {
  return Error(name_ + ": " + condition + " at byte " + std::to_string(offset) +
               (gzipped_ ? " of the decompressed stream: " : ": ") + detail);
}

std::shared_ptr<const void> FileContent::owner() const {
  if (file_) return file_;
  return bytes_;
}

}  // namespace cuvae
