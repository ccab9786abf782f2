// Files that can be read only once, from front to back: the standard input, pipes, named pipes.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "data/bytes/byte_source.h"

namespace cuvae {

/// "-" stands for the standard input.
bool is_standard_input(const std::filesystem::path& path);

/// Whether the path is the standard input, a pipe or a socket: what cannot be mapped but read.
bool is_stream(const std::filesystem::path& path);

/// Opens such a file; to open a named pipe waits for its writer. Throws Error, also for a terminal.
std::unique_ptr<ByteSource> open_stream(const std::filesystem::path& path);

/// "standard input", or the path.
std::string display_name(const std::filesystem::path& path);

}  // namespace cuvae
