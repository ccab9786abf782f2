// The latent layers of an evaluation as JSON.
#pragma once
#include <nlohmann/json.hpp>
#include <vector>

#include "cuvae/evaluate.h"

namespace cuvae::cli {

inline nlohmann::ordered_json layers_json(const std::vector<LayerEvaluation>& layers) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const LayerEvaluation& layer : layers)
    all.push_back({{"latent", layer.latent}, {"kl", layer.kl}, {"active_units", layer.active_units}});
  return all;
}

}  // namespace cuvae::cli
