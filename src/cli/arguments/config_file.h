// Settings as a flat JSON object whose keys are the flags of train without their dashes.
#pragma once
#include <filesystem>
#include <set>
#include <string>

#include "cli/arguments/settings.h"

namespace cuvae::cli {

/// Sets the flags that were not given from a flat JSON object with their names as keys, and returns those. Throws
/// Error.
std::set<std::string> apply_config_file(CLI::App& app, const std::filesystem::path& path);

/// Whether the file is one that write_config wrote: other programs have files of that name too. Throws Error where it
/// cannot be read.
bool is_config(const std::filesystem::path& path);
/// A run's config.json, as it was written.
Settings read_config(const std::filesystem::path& path);
/// The paths of data near `run`, the folder that the file is to lie in, are stored relative to it.
void write_config(const std::filesystem::path& path, const Settings& settings, const std::filesystem::path& run);

}  // namespace cuvae::cli
