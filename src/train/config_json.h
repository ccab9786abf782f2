// Configurations as JSON, as checkpoints and run folders keep them.
#pragma once
#include <nlohmann/json.hpp>

#include "cuvae/trainer.h"

namespace cuvae {

nlohmann::json to_json(const VaeConfig& config);
nlohmann::json to_json(const TrainConfig& config);

/// Throw Error, naming the key, when one is missing, of the wrong type, or out of range.
VaeConfig vae_config_from_json(const nlohmann::json& json);
TrainConfig train_config_from_json(const nlohmann::json& json);

}  // namespace cuvae
