// Files that are written completely or not at all.
#pragma once
#include <filesystem>
#include <functional>
#include <ostream>

namespace cuvae {

/// Writes a file through `write` so that a failure or a kill at any moment leaves the old file or the new one: the
/// bytes go to a temporary file in the same folder, which is synced and then renamed. A symbolic link is followed; a
/// path that is there but not a regular file is refused. On any failure the temporary file is removed. Throws Error,
/// naming the path and the system's reason; what `write` throws passes through. The stream cannot seek.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write);

}  // namespace cuvae
