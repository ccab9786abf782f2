// Named tensors in one file, in the safetensors format (https://huggingface.co/docs/safetensors): eight bytes of header
// length, a JSON header, the tensors' bytes, all little-endian.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cuvae {

/// A named array in host memory. Does not own the memory.
struct Tensor {
  std::string name;
  std::string dtype;  ///< the format's names: "F32", "BF16", "U64", ...
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
  std::size_t bytes = 0;
};

/// Writes the tensors atomically. The widest types come first, so that each tensor is aligned; otherwise the order
/// stays. Throws Error if a name is used twice, a dtype is unknown, or the bytes do not match the shape.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<Tensor>& tensors);

/// A file in memory, checked completely. The tensors point into it and are aligned for their type.
class SafetensorsFile {
 public:
  /// Throws Error, naming the file and the byte offset, if it is missing, truncated, too long, corrupt or of another
  /// format.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }  ///< in the order of their bytes
  const Tensor* find(std::string_view name) const;                 ///< nullptr if there is none
  /// The tensor with this name. Throws Error, naming both types and shapes, unless it has this type and shape.
  const Tensor& require(std::string_view name, std::string_view dtype, const std::vector<std::int64_t>& shape) const;

 private:
  explicit SafetensorsFile(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  std::map<std::string, std::string> metadata_;
  std::vector<Tensor> tensors_;
  std::unique_ptr<std::byte[]> data_;
};

}  // namespace cuvae
