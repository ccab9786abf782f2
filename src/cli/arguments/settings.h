// The settings of a training run: one list of names for the flags of train, config.json and the output of info.
#pragma once
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "cli/arguments/arguments.h"
#include "cuvae/trainer.h"

namespace cuvae::cli {

/// The latent layers as the flags give them.
struct LayerSettings {
  struct Widths {
    std::vector<Index> all;
  } latent;                                 ///< from z_1 up
  std::vector<Index> encoder_hidden_above;  ///< of each layer above the first
  std::vector<Index> decoder_hidden_above;
  std::vector<Index> hidden_above;  ///< --hidden-above; resolve() copies it to both

  /// Those of a model. The hidden widths are those of its second layer.
  explicit LayerSettings(const VaeConfig& model = {});
};

/// --missing: whether NaN is a missing value, and the other value that is one.
template <class Asked, class Value>
struct MissingSetting {
  Asked& asked;
  Value& value;
};
template <class Asked, class Value>  // clang 14 needs it
MissingSetting(Asked&, Value&)->MissingSetting<Asked, Value>;

struct Settings : DeviceArguments {
  std::string data;
  std::string condition;  ///< "labels", or a file; empty: none
  VaeConfig model;
  LayerSettings layers;
  TrainConfig training;
  Index data_memory = 0;      ///< GPU memory that the data may use, in MiB; 0: all that is free
  std::vector<Index> hidden;  ///< --hidden; resolve() copies it to the encoder and the decoder
};

/// Declares the flags. `settings` holds the defaults and must outlive the parsing.
void add_settings(CLI::App& app, Settings& settings);

/// Sets the values that depend on other flags, and checks all values. Throws Error.
void resolve(const CLI::App& app, Settings& settings);

/// Throws CLI::ValidationError for flags that have no effect given the others. `from_file`: keys that a file set.
void refuse_idle_settings(const CLI::App& app, const Settings& settings, const std::set<std::string>& from_file);

/// The settings that have an effect, as config.json holds them.
nlohmann::ordered_json settings_json(const Settings& settings);
nlohmann::ordered_json settings_json(const VaeConfig& model);
nlohmann::ordered_json settings_json(const TrainConfig& training);

}  // namespace cuvae::cli
