// Checkpoints: safetensors files with the model, the optimizer and everything that resuming needs.
#pragma once
#include <cstdint>
#include <filesystem>

#include "cuvae/trainer.h"
#include "cuvae/vae.h"

namespace cuvae {

/// What a checkpoint says of itself, without its tensors.
struct CheckpointInfo {
  VaeConfig model;
  TrainConfig training;
  StepState state;
  Index examples = 0;               ///< in one pass of the training data
  std::uint32_t data_crc32 = 0;     ///< Dataset::crc32 of the training data; 0 when the program fed its own batches
  Index parameters = 0;             ///< number of parameters
  bool averaged = false;            ///< has averaged (EMA) weights
  double best_elbo = 0;             ///< best validation ELBO so far; NaN when there is none
  Standardization standardization;  ///< of the data; empty when it is trained on as it is
};

/// Throws Error when the file is not a checkpoint, is damaged, or its tensors do not fit its configuration.
CheckpointInfo read_checkpoint_info(const std::filesystem::path& path);

/// The model alone, with the averaged weights where the checkpoint has them. Throws Error as above.
Vae load_vae(Backend& backend, const std::filesystem::path& path);

}  // namespace cuvae
