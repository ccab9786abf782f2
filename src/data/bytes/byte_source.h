// A stream of bytes that can be read once, in order: from a descriptor, memory or a decompressor.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace cuvae {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills `out` unless the bytes end first; returns how many were written. Throws Error.
  virtual std::size_t read(std::span<std::uint8_t> out) = 0;
};

/// Bytes in memory. `owner` keeps them alive.
class MemorySource : public ByteSource {
 public:
  MemorySource(std::span<const std::uint8_t> bytes, std::shared_ptr<const void> owner)
      : rest_(bytes), owner_(std::move(owner)) {}

  std::size_t read(std::span<std::uint8_t> out) override {
    const std::size_t count = std::min(out.size(), rest_.size());
    if (count > 0) std::memcpy(out.data(), rest_.data(), count);
    rest_ = rest_.subspan(count);
    return count;
  }

 private:
  std::span<const std::uint8_t> rest_;
  std::shared_ptr<const void> owner_;
};

}  // namespace cuvae
