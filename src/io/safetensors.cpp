#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <utility>

#include "cuvae/error.h"
#include "io/atomic_file.h"
#include "io/input_file.h"
#include "io/json_text.h"

namespace cuvae {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "tensors are written without conversion");

constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's limit
constexpr std::uint64_t length_bytes = sizeof(std::uint64_t);
constexpr char metadata_key[] = "__metadata__";

/// Bytes of one element; 0 for an unknown type.
std::size_t element_size(std::string_view dtype) {
  static const std::map<std::string_view, std::size_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2},
      {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},     {"U64", 8},     {"I64", 8}, {"F64", 8}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

std::string describe(std::string_view dtype, const std::vector<std::int64_t>& shape) {
  return std::string(dtype) + " " + json(shape).dump().substr(0, 80);
}

/// Size of the array; nothing if it does not fit into 64 bits.
std::optional<std::uint64_t> byte_count(std::size_t element, const std::vector<std::int64_t>& shape) {
  std::uint64_t bytes = element;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dimension), &bytes)) return {};
  }
  return bytes;
}

/// The member as a list of whole numbers; nothing if it is missing or is not such a list.
std::optional<std::vector<std::int64_t>> whole_numbers(const json& object, const char* key) {
  const auto list = object.find(key);
  std::vector<std::int64_t> values;
  if (list == object.end() || !get_exactly(*list, values)) return {};
  if (std::ranges::any_of(values, [](std::int64_t value) { return value < 0; })) return {};
  return values;
}

/// Reads the header's text, whose first character is byte 8 of the file.
json parse_header(const InputFile& file, const std::string& text) {
  if (!text.starts_with('{')) file.fail("not a safetensors file: no '{' at byte 8");
  try {
    return parse_json(text, length_bytes);
  } catch (const Error& error) {
    file.fail(std::string("the header ") + error.what());
  }
}

/// A tensor of the header, with the place of its first byte after the end of the header.
struct Entry {
  Tensor tensor;
  std::uint64_t begin;
};

Entry parse_entry(const InputFile& file, const std::string& name, const json& object, std::uint64_t data_bytes) {
  const auto fail = [&](const std::string& reason) { file.fail("tensor " + in_quotes(name) + " " + reason); };
  if (!object.is_object()) fail("is not described by an object");
  const auto dtype = object.find("dtype");
  if (dtype == object.end() || !dtype->is_string()) fail("has no dtype");
  const auto shape = whole_numbers(object, "shape");
  if (!shape) fail("has no shape");
  const auto offsets = whole_numbers(object, "data_offsets");
  if (!offsets || offsets->size() != 2) fail("has no data_offsets");

  Entry entry{{name, dtype->get<std::string>(), *shape}, static_cast<std::uint64_t>(offsets->front())};
  const auto end = static_cast<std::uint64_t>(offsets->back());
  const std::uint64_t data_start = file.size() - data_bytes;
  if (entry.begin > end) fail("ends before it begins, at byte " + std::to_string(data_start + entry.begin));
  if (end > data_bytes) fail("reaches beyond the end of the file, at byte " + std::to_string(file.size()));

  const std::size_t element = element_size(entry.tensor.dtype);
  if (element == 0) fail("has the unknown dtype " + in_quotes(entry.tensor.dtype));
  entry.tensor.bytes = end - entry.begin;
  if (byte_count(element, *shape) != entry.tensor.bytes) {
    fail("is " + describe(entry.tensor.dtype, *shape) + " but has " + std::to_string(entry.tensor.bytes) + " bytes");
  }
  if (entry.begin % element != 0) fail("is not aligned, at byte " + std::to_string(data_start + entry.begin));
  return entry;
}

std::map<std::string, std::string> parse_metadata(const InputFile& file, const json& object) {
  if (!object.is_object()) file.fail("__metadata__ is not an object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) file.fail("__metadata__ " + in_quotes(key) + " is not a string");
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

/// The format requires that every byte after the header belongs to exactly one tensor.
void check_coverage(const InputFile& file, const std::vector<Entry>& sorted, std::uint64_t data_bytes) {
  const std::uint64_t data_start = file.size() - data_bytes;
  std::uint64_t next = 0;
  for (const Entry& entry : sorted) {
    if (entry.begin != next) {
      file.fail("tensor " + in_quotes(entry.tensor.name) + " begins at byte " +
                std::to_string(data_start + entry.begin) + " but must begin at byte " +
                std::to_string(data_start + next));
    }
    next += entry.tensor.bytes;
  }
  if (next != data_bytes) {
    file.fail(std::to_string(data_bytes - next) + " bytes too many at byte " + std::to_string(data_start + next));
  }
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  InputFile file(path);
  if (file.size() < length_bytes) file.fail("not a safetensors file: only " + std::to_string(file.size()) + " bytes");
  std::uint64_t header_bytes = 0;
  file.read(&header_bytes, length_bytes);
  const std::uint64_t allowed = std::min(file.size() - length_bytes, max_header_bytes);
  if (header_bytes > allowed) {
    file.fail("not a safetensors file or truncated: header of " + std::to_string(header_bytes) +
              " bytes at byte 8, at most " + std::to_string(allowed) + " possible");
  }
  std::string text(header_bytes, '\0');
  file.read(text.data(), text.size());
  const json header = parse_header(file, text);

  SafetensorsFile result(path);
  const std::uint64_t data_bytes = file.size() - length_bytes - header_bytes;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == metadata_key) {
      result.metadata_ = parse_metadata(file, value);
    } else {
      entries.push_back(parse_entry(file, name, value, data_bytes));
    }
  }
  std::ranges::sort(entries, {}, [](const Entry& e) { return std::pair(e.begin, e.tensor.bytes); });
  check_coverage(file, entries, data_bytes);

  result.data_ = std::make_unique_for_overwrite<std::byte[]>(data_bytes);
  file.read(result.data_.get(), data_bytes);
  for (Entry& entry : entries) {
    entry.tensor.data = result.data_.get() + entry.begin;
    result.tensors_.push_back(std::move(entry.tensor));
  }
  return result;
}

const Tensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors_, name, &Tensor::name);
  return found == tensors_.end() ? nullptr : &*found;
}

const Tensor& SafetensorsFile::require(std::string_view name, std::string_view dtype,
                                       const std::vector<std::int64_t>& shape) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr) throw Error(path_.string() + ": there is no tensor " + in_quotes(name));
  if (tensor->dtype != dtype || tensor->shape != shape) {
    throw Error(path_.string() + ": tensor " + in_quotes(name) + " is " + describe(tensor->dtype, tensor->shape) +
                " but must be " + describe(dtype, shape));
  }
  return *tensor;
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<Tensor>& tensors) {
  const auto fail = [&](const std::string& reason) { throw Error(path.string() + ": cannot write: " + reason); };
  std::vector<const Tensor*> ordered;
  for (const Tensor& tensor : tensors) {
    const std::size_t element = element_size(tensor.dtype);
    if (element == 0) fail("tensor " + in_quotes(tensor.name) + " has the unknown dtype " + in_quotes(tensor.dtype));
    if (byte_count(element, tensor.shape) != tensor.bytes) {
      fail("tensor " + in_quotes(tensor.name) + " is " + describe(tensor.dtype, tensor.shape) + " but has " +
           std::to_string(tensor.bytes) + " bytes");
    }
    ordered.push_back(&tensor);
  }
  std::ranges::stable_sort(ordered, std::greater(), [](const Tensor* t) { return element_size(t->dtype); });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();  // in the order of the data
  if (!metadata.empty()) header[metadata_key] = metadata;
  std::size_t begin = 0;
  for (const Tensor* tensor : ordered) {
    const std::size_t end = begin + tensor->bytes;
    if (tensor->name == metadata_key || header.contains(tensor->name)) {
      fail("the name " + in_quotes(tensor->name) + " is already used");
    }
    header[tensor->name] = {{"dtype", tensor->dtype}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    fail("a name or a metadata text is not UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > max_header_bytes) fail("a header of " + std::to_string(text.size()) + " bytes is too long");

  write_file_atomically(path, [&](std::ostream& out) {
    const auto write = [&](const void* data, std::size_t bytes) {
      out.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    };
    const std::uint64_t header_bytes = text.size();
    write(&header_bytes, length_bytes);
    write(text.data(), text.size());
    for (const Tensor* tensor : ordered) write(tensor->data, tensor->bytes);
  });
}

}  // namespace cuvae
