// Checkpoints: safetensors files with the model, the optimizer and everything else that resuming needs.
#pragma once
#include <cstdint>
#include <filesystem>

#include "cuvae/trainer.h"
#include "cuvae/vae.h"

namespace cuvae {

/// The metadata of a checkpoint, without its tensors.
struct CheckpointInfo {
  VaeConfig model;
  TrainConfig training;
  StepState state;
  Index examples = 0;               ///< in one pass of the training data
  std::uint32_t data_crc32 = 0;     ///< Dataset::crc32 of the training data; 0 if the program used its own batches
  Index parameters = 0;             ///< number of parameters
  bool averaged = false;            ///< whether it has averaged (EMA) weights
  double best_elbo = 0;             ///< best validation ELBO so far, in nats; NaN if there is none
  double best_bound = 0;            ///< the same of the bound that is trained, in place of the ELBO
  Standardization standardization;  ///< of the data; empty if the data are not standardized
};

/// Throws Error if the file is not a checkpoint, is damaged, or has tensors that do not fit its configuration.
CheckpointInfo read_checkpoint_info(const std::filesystem::path& path);

/// The model, with the averaged weights if the checkpoint has them. Throws Error as read_checkpoint_info does.
Vae load_vae(Backend& backend, const std::filesystem::path& path);

}  // namespace cuvae
