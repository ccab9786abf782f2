// What defines a training run: one list of names for the flags of train, for config.json and for what info prints.
#pragma once
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "cli/arguments/arguments.h"
#include "cuvae/trainer.h"

namespace cuvae::cli {

struct Settings : DeviceArguments {
  std::string data;
  VaeConfig model;
  TrainConfig training;
  Index data_memory = 0;      ///< MiB of a GPU's memory that the data may take; 0: what is free
  std::vector<Index> hidden;  ///< --hidden, which resolve() spreads over encoder and decoder
};

/// Declares the flags; `settings` must outlive the parsing, and holds the defaults.
void add_settings(CLI::App& app, Settings& settings);

/// Fills in what depends on other flags, and checks all values. Throws Error.
void resolve(const CLI::App& app, Settings& settings);

/// Refuses, as wrong usage, what was given but does nothing given the rest; `from_file` names what a config file set.
void refuse_idle_settings(const CLI::App& app, const Settings& settings, const std::set<std::string>& from_file);

/// As config.json holds them: all that have an effect.
nlohmann::ordered_json settings_json(const Settings& settings);
nlohmann::ordered_json settings_json(const VaeConfig& model);
nlohmann::ordered_json settings_json(const TrainConfig& training);

}  // namespace cuvae::cli
