// NumPy's NPZ format: a zip archive whose members are NPY files.
#pragma once
#include <filesystem>
#include <string>

#include "data/bytes/file_content.h"

namespace cuvae {

/// Splits "file.npz:NAME" into the file and the array's name. If a file has the whole path as its name, that file is
/// meant; else the longest file name before a colon. If there is no such file, returns the whole path and no name.
std::pair<std::filesystem::path, std::string> split_member(const std::filesystem::path& path);

/// The array `name` of the archive, with or without ".npy"; for an empty name the only array. Throws Error, listing the
/// archive's arrays, if there is no such array.
FileContent open_member(FileContent& archive, const std::string& name);

}  // namespace cuvae
