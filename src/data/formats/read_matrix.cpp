#include "data/formats/read_matrix.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "data/bytes/file_content.h"
#include "data/bytes/zip.h"
#include "data/formats/array_header.h"
#include "data/formats/csv.h"
#include "data/formats/npz.h"
#include "io/json_text.h"

namespace cuvae {
namespace {

void check_width(const std::string& name, Index cols, const std::vector<Index>& widths) {
  if (widths.empty() || std::find(widths.begin(), widths.end(), cols) != widths.end()) return;
  std::string wanted;
  for (const Index width : widths) wanted += (wanted.empty() ? "" : " or ") + std::to_string(width);
  throw Error(name + ": rows have " + std::to_string(cols) + " values but the model needs " + wanted);
}

Matrix read_array(FileContent& content, const std::vector<Index>& widths) {
  const ArrayHeader header = read_header(content);
  const std::vector<Index>& dims = header.dims;
  if (dims.size() == 1) {
    throw content.error("one dimension", header.dims_offset,
                        std::to_string(dims[0]) +
                            " values, but examples are rows [N, D]: give the images if these are labels, or save "
                            "x.reshape(-1, 1)");
  }
  check_width(content.name(), std::accumulate(dims.begin() + 1, dims.end(), Index{1}, std::multiplies<>()), widths);
  const auto payload = read_payload(content, header);
  return {content.name(), dims, convert(content, header, payload)};
}

Matrix read_table(FileContent& content, const std::vector<Index>& widths, NaNs nans) {
  Table table = read_csv(
      content, [&](Index cols) { check_width(content.name(), cols, widths); }, nans);
  return {content.name(), {table.rows, table.cols}, hold(std::move(table.values))};
}

}  // namespace

Matrix read_matrix(const std::filesystem::path& path, const std::vector<Index>& widths, NaNs nans) {
  constexpr std::size_t enough_to_tell = 512;
  const auto [file, member] = split_member(path);
  FileContent content(file);
  const auto front = content.front(enough_to_tell);
  if (is_zip(front)) {
    if (content.gzipped()) throw content.error("a zip archive", 0, "unpack it from gzip first");
    FileContent array = open_member(content, member);
    return read_array(array, widths);
  }
  if (!member.empty()) throw Error(content.name() + ": is not an NPZ archive and has no array " + in_quotes(member));
  return is_text(front) ? read_table(content, widths, nans) : read_array(content, widths);
}

}  // namespace cuvae
