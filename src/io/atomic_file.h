// Files that are written completely or not at all.
#pragma once
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>

namespace cuvae {

/// Writes a file through `write`. A failure or a kill at any moment leaves either the old file or the new one: the
/// bytes go to a temporary file in the same folder, which is synced and then renamed. A symbolic link is followed. An
/// existing path must be a regular file. After a failure the temporary file is removed. Throws Error, naming the path
/// and the system's reason; exceptions of `write` are passed on. The stream cannot seek.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write);

/// Whether a file with this name may be a temporary file of a killed program.
bool is_temporary_name(const std::string& name);

/// Throws Error if the path is a symbolic link. A link in a folder from another source may point at any file.
void refuse_link(const std::filesystem::path& path);

/// Returns when the names in the folder are on the disk. Throws Error.
void sync_folder(const std::filesystem::path& folder);

}  // namespace cuvae
