// Files that can be read only once: the standard input, pipes and named pipes.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "data/bytes/byte_source.h"

namespace cuvae {

/// Whether the path is "-", which means the standard input.
bool is_standard_input(const std::filesystem::path& path);

/// Whether the path is the standard input, a pipe or a socket, which can be read but not mapped.
bool is_stream(const std::filesystem::path& path);

/// Opens such a file. Opening a named pipe waits for its writer. Throws Error, also for a terminal.
std::unique_ptr<ByteSource> open_stream(const std::filesystem::path& path);

/// "standard input", or the path.
std::string display_name(const std::filesystem::path& path);

}  // namespace cuvae
