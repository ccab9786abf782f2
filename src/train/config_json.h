// Configurations as JSON, for checkpoints and run folders.
#pragma once
#include <nlohmann/json.hpp>

#include "cuvae/trainer.h"

namespace cuvae {

nlohmann::json to_json(const VaeConfig& config);
nlohmann::json to_json(const TrainConfig& config);

/// Throw Error, naming the key, if a value is missing, has the wrong type, or is out of range.
VaeConfig vae_config_from_json(const nlohmann::json& json);
TrainConfig train_config_from_json(const nlohmann::json& json);

}  // namespace cuvae
