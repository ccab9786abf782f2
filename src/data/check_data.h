// Checks of the data before training and evaluation.
#pragma once
#include "cuvae/dataset.h"
#include "cuvae/vae.h"

namespace cuvae {

/// Whether pixels must lie in [0, 1].
inline bool needs_unit_interval(const VaeConfig& model, Binarize binarize) {
  return traits(model.likelihood).unit_interval || binarize != Binarize::none;
}

/// Throws Error, with a remedy, if uint8 values that are divided by 255, but for the one that is missing, are all so
/// small that they are almost black.
void check_not_dark(const Dataset& data, std::optional<float> missing = {});

/// Throws Error, with a remedy, unless the examples have the model's width and conditions, are in [0, 1] where the
/// likelihood or binarization takes such values, and, if they are uint8 and divided by 255, have values above 31.
void check_data_fits(const Dataset& data, const VaeConfig& model, Binarize binarize);

/// Whether all values are equal. A model can learn nothing from such data.
bool is_constant(const Dataset& data);

}  // namespace cuvae
