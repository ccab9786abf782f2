#include "data/folder.h"

#include <system_error>

namespace cuvae {

std::vector<std::string> file_names(Split split, FileKind kind) {
  using Names = std::vector<std::string>;
  const std::string what = kind == FileKind::images ? "images" : "labels";
  const std::string format = kind == FileKind::images ? "idx3-ubyte" : "idx1-ubyte";
  Names names;
  for (const std::string& stem : split == Split::train ? Names{"train"} : Names{"t10k", "test"}) {
    for (const char* separator : {"-", "."}) names.push_back(stem + "-" + what + separator + format);
  }
  return names;
}

std::filesystem::path find_file(const std::filesystem::path& folder, Split split, FileKind kind) {
  using std::filesystem::file_type;
  for (const std::string& name : file_names(split, kind)) {
    for (const char* suffix : {"", ".gz"}) {
      const std::filesystem::path path = folder / (name + suffix);
      std::error_code error;
      const file_type type = std::filesystem::status(path, error).type();
      // Some archives unpack each file into a folder of its own name. A file that cannot be examined is taken, so that
      // opening it tells why.
      if (type != file_type::not_found && type != file_type::directory) return path;
    }
  }
  return {};
}

}  // namespace cuvae
