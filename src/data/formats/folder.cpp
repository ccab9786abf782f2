#include "data/formats/folder.h"

#include <string>
#include <system_error>

#include "cuvae/error.h"

namespace cuvae {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

// The beginnings of the file names of each data set. The first is for MNIST and the data sets that use its names.
std::vector<Names> stems(Split split) {
  const bool train = split == Split::train;
  std::vector<Names> stems = {train ? Names{"train"} : Names{"t10k", "test"}};
  const std::string part = train ? "-train" : "-test";
  for (const char* set : {"balanced", "byclass", "bymerge", "digits", "letters", "mnist"})
    stems.push_back({std::string("emnist-") + set + part});
  stems.push_back({"qmnist" + part});
  return stems;
}

Names formats(FileKind kind) {
  return kind == FileKind::images ? Names{"idx3-ubyte"} : Names{"idx1-ubyte", "idx2-int"};
}

// The plain file, or else the gzipped one.
fs::path plain_or_gzipped(const fs::path& path) {
  for (const char* suffix : {"", ".gz"}) {
    fs::path file = path;
    file += suffix;
    std::error_code error;
    const fs::file_type type = fs::status(file, error).type();
    // Some archives unpack each file into a folder of its own name.
    if (type != fs::file_type::not_found && type != fs::file_type::directory) return file;
  }
  return {};
}

fs::path find_stem(const fs::path& folder, const Names& stems, FileKind kind) {
  const std::string what = kind == FileKind::images ? "-images" : "-labels";
  for (const std::string& stem : stems)
    for (const char* separator : {"-", "."})
      for (const std::string& format : formats(kind))
        if (fs::path file = plain_or_gzipped(folder / (stem + what + separator + format)); !file.empty()) return file;
  return {};
}

std::vector<fs::path> find_in(const fs::path& folder, Split split, FileKind kind) {
  std::vector<fs::path> files;
  for (const Names& names : stems(split))
    if (fs::path file = find_stem(folder, names, kind); !file.empty()) files.push_back(std::move(file));
  return files;
}

// Replaces the last `from` in the text; returns false if there is none.
bool replace_last(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.rfind(from);
  if (at == text.npos) return false;
  text.replace(at, from.size(), to);
  return true;
}

}  // namespace

std::vector<fs::path> find_files(const fs::path& folder, Split split, FileKind kind) {
  if (fs::path file = find_stem(folder, stems(split).front(), kind); !file.empty()) return {file};
  std::vector<fs::path> files = find_in(folder, split, kind);
  if (!files.empty()) return files;
  for (const char* place : {"raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw", "QMNIST/raw"})
    for (fs::path& file : find_in(folder / place, split, kind)) files.push_back(std::move(file));
  return files;
}

fs::path find_file(const fs::path& folder, Split split, FileKind kind) {
  const std::vector<fs::path> files = find_files(folder, split, kind);
  return files.size() == 1 ? files.front() : fs::path();
}

fs::path find_images(const fs::path& folder, Split split) {
  const std::vector<fs::path> files = find_files(folder, split, FileKind::images);
  if (files.size() == 1) return files.front();
  if (files.empty()) {
    throw Error(folder.string() + ": no images in this folder: looked for " +
                (split == Split::train ? "train" : "t10k") +
                "-images-idx3-ubyte, and the names of EMNIST and QMNIST, " +
                "with or without .gz, here, in raw, and in MNIST/raw and the like");
  }
  std::string names;
  for (const fs::path& file : files) names += (names.empty() ? "" : ", ") + file.lexically_relative(folder).string();
  throw Error(folder.string() + ": images of several data sets in this folder: give one of these files: " + names);
}

fs::path labels_of(const fs::path& images) {
  std::string name = images.filename().string();
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  if (!replace_last(name, "images", "labels")) return {};
  for (const std::string& format : formats(FileKind::labels)) {
    std::string labels = name;
    if (!replace_last(labels, "idx3-ubyte", format)) return {};
    if (fs::path file = plain_or_gzipped(images.parent_path() / labels); !file.empty()) return file;
  }
  return {};
}

}  // namespace cuvae
