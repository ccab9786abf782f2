// The file names under which MNIST and its relatives are found in a folder.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "cuvae/dataset.h"

namespace cuvae {

enum class FileKind { images, labels };

/// The accepted names, best first, without the optional ".gz".
std::vector<std::string> file_names(Split split, FileKind kind);

/// The first of these that is in the folder, plain before gzipped; an empty path when there is none.
std::filesystem::path find_file(const std::filesystem::path& folder, Split split, FileKind kind);

}  // namespace cuvae
