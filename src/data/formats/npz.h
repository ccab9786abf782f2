// NumPy's NPZ format: a zip archive whose members are NPY files.
#pragma once
#include <filesystem>
#include <string>

#include "data/bytes/file_content.h"

namespace cuvae {

/// "file.npz:NAME" as the file and the array's name. A file of the whole name wins; else the longest file name before
/// a colon. Without such a file the path is returned whole, and the name is empty.
std::pair<std::filesystem::path, std::string> split_member(const std::filesystem::path& path);

/// The array `name` of the archive, with or without ".npy"; with an empty name the only one. Throws Error, naming the
/// arrays that there are, for any other.
FileContent open_member(FileContent& archive, const std::string& name);

}  // namespace cuvae
