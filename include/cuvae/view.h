// Non-owning views of row-major, packed matrices in a backend's memory.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cuvae {

using Index = std::int64_t;

enum class DType : std::uint8_t { f32, bf16, u8 };

constexpr std::size_t size_of(DType type) { return type == DType::f32 ? 4 : type == DType::bf16 ? 2 : 1; }

/// A matrix [rows, cols] to read. Quantities per row are [n, 1], quantities per column are [1, n]. An empty view (data
/// == nullptr) means "not given", if an op allows that.
struct ConstView {
  const void* data = nullptr;
  Index rows = 0, cols = 0;
  DType dtype = DType::f32;

  const float* f32() const { return static_cast<const float*>(data); }
  Index size() const { return rows * cols; }
  constexpr explicit operator bool() const { return data != nullptr; }
};

/// A matrix to write.
struct View {
  void* data = nullptr;
  Index rows = 0, cols = 0;
  DType dtype = DType::f32;

  float* f32() const { return static_cast<float*>(data); }
  Index size() const { return rows * cols; }
  explicit operator bool() const { return data != nullptr; }
  operator ConstView() const { return {data, rows, cols, dtype}; }  // NOLINT: a view to write can always be read
};

}  // namespace cuvae
