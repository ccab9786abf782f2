// Settings as a flat JSON object. Its keys are the flags of train without the leading dashes.
#pragma once
#include <filesystem>
#include <set>
#include <string>

#include "cli/arguments/settings.h"

namespace cuvae::cli {

/// Sets flags from the file if they were not given on the command line. Returns the keys that it used. Throws Error.
std::set<std::string> apply_config_file(CLI::App& app, const std::filesystem::path& path);

/// Whether write_config wrote this file; other programs also have a config.json. Throws Error if it cannot be read.
bool is_config(const std::filesystem::path& path);
/// Reads the config.json of a run. Throws Error.
Settings read_config(const std::filesystem::path& path);
/// `run` is the folder that will hold the file. A data path near it is stored relative to it.
void write_config(const std::filesystem::path& path, const Settings& settings, const std::filesystem::path& run);

}  // namespace cuvae::cli
