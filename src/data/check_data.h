// What training and evaluation ask of data.
#pragma once
#include "cuvae/dataset.h"
#include "cuvae/vae.h"

namespace cuvae {

/// Whether pixels must lie in [0, 1].
inline bool needs_unit_interval(const VaeConfig& model, Binarize binarize) {
  return model.likelihood == Likelihood::bernoulli || binarize != Binarize::none;
}

/// Throws Error, saying what was seen and what helps, unless the examples have the model's width, lie in [0, 1] for a
/// Bernoulli likelihood or binarization, and use the range of uint8 that they are divided by.
void check_data_fits(const Dataset& data, const VaeConfig& model, Binarize binarize);

/// Whether all values are equal, so that there is nothing to learn.
bool is_constant(const Dataset& data);

}  // namespace cuvae
