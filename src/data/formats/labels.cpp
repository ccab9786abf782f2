#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/error.h"
#include "data/bytes/stream.h"
#include "data/bytes/zip.h"
#include "data/formats/array_header.h"
#include "data/formats/convert.h"
#include "data/formats/csv.h"
#include "data/formats/folder.h"
#include "data/formats/npz.h"

namespace cuvae {
namespace {

struct LabelFiles {
  std::filesystem::path labels, images;  // empty if there are none
};

LabelFiles find_labels(const std::filesystem::path& path, Split split) {
  std::error_code ignored;  // if this fails, opening the file fails too and reports the reason
  if (!is_directory(path, ignored)) return {labels_of(path), path};
  const auto labels = find_files(path, split, FileKind::labels);
  if (labels.size() > 1) return {labels_of(find_images(path, split)), find_images(path, split)};
  return {labels.empty() ? std::filesystem::path() : labels[0], find_file(path, split, FileKind::images)};
}

std::uint8_t label_of(const FileContent& content, const Values& values, Index index) {
  if (values.dtype == DType::u8) return static_cast<const std::uint8_t*>(values.data)[index];
  const float value = static_cast<const float*>(values.data)[index];
  if (value >= 0 && value <= 255) return static_cast<std::uint8_t>(value);
  throw Error(content.name() + ": a label is " + std::to_string(value) + ", but must be from 0 to 255");
}

// QMNIST's labels are [N, 8] int32; the first column is the class.
std::vector<std::uint8_t> read_labels(FileContent& content, const ArrayHeader& header) {
  const Values values = convert(content, header, read_payload(content, header));
  const Index cols = header.dims.size() == 2 ? header.dims[1] : 1;
  std::vector<std::uint8_t> labels;
  for (Index i = 0; i < header.dims[0]; ++i) labels.push_back(label_of(content, values, i * cols));
  return labels;
}

}  // namespace

std::vector<std::uint8_t> open_labels(const std::filesystem::path& path, Split split) {
  const LabelFiles files = find_labels(path, split);
  if (files.labels.empty()) return {};
  FileContent content(files.labels);
  const ArrayHeader header = read_header(content);
  if (header.dims.size() > 2 || header.element.kind == Element::Kind::floating) {
    throw content.error("not labels", header.dims_offset,
                        std::to_string(header.dims.size()) + " dimensions, but labels are integers in one or two");
  }
  std::vector<std::uint8_t> labels = read_labels(content, header);
  if (files.images.empty()) return labels;
  FileContent images(files.images);
  const Index expected = read_header(images).dims[0], count = header.dims[0];
  if (expected == count) return labels;
  throw content.error(
      "wrong number of labels", header.dims_offset,
      std::to_string(count) + ", but " + images.name() + " holds " + std::to_string(expected) + " images");
}

std::optional<std::vector<std::uint8_t>> open_label_vector(const std::filesystem::path& path) {
  constexpr std::size_t enough_to_tell = 512;
  if (is_standard_input(path) || !split_member(path).second.empty()) return std::nullopt;
  FileContent content(path);
  const auto front = content.front(enough_to_tell);
  if (is_zip(front) || is_text(front)) return std::nullopt;
  const ArrayHeader header = read_header(content);
  if (header.dims.size() != 1 || header.element.kind == Element::Kind::floating) return std::nullopt;
  return read_labels(content, header);
}

}  // namespace cuvae
