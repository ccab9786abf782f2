// Files that are written completely or not at all.
#pragma once
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>

namespace cuvae {

/// Writes a file through `write` so that a failure or a kill at any moment leaves the old file or the new one: the
/// bytes go to a temporary file in the same folder, which is synced and then renamed. A symbolic link is followed; a
/// path that is there but not a regular file is refused. On any failure the temporary file is removed. Throws Error,
/// naming the path and the system's reason; what `write` throws passes through. The stream cannot seek.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write);

/// Whether a file of this name may be the temporary file of a program that was killed.
bool is_temporary_name(const std::string& name);

/// Throws Error where the path is a symbolic link: a folder that came from elsewhere may point at any file.
void refuse_link(const std::filesystem::path& path);

/// Returns when the names in the folder are on the disk. Throws Error.
void sync_folder(const std::filesystem::path& folder);

}  // namespace cuvae
