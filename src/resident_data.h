// A data set in a backend's memory, and what training and evaluation both ask of data.
#pragma once
#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"
#include "cuvae/vae.h"

namespace cuvae {

/// The examples as the backend sees them. The CPU reads the data set where it lies; other devices get a copy.
class ResidentData {
 public:
  ResidentData(Backend& backend, const Dataset& data);
  ConstView view() const { return view_; }

 private:
  Dataset data_;  // keeps the bytes alive
  Buffer copy_;
  ConstView view_;
};

/// Throws Error unless the examples have the model's width and, for a Bernoulli likelihood, lie in [0, 1].
void check_data_fits(const Dataset& data, const VaeConfig& model, Binarize binarize);

/// evaluate() over rows of data that is already on the backend and fits the model.
Evaluation evaluate_resident(const Vae& vae, ConstView pixels, const std::vector<std::uint32_t>& rows,
                             const EvaluateOptions& options);

/// Latent dimensions whose posterior mean has a variance above 0.01, from the moments of stats [B, 2L].
Index active_units(Backend& backend, const Buffer& moments, Index latent);

}  // namespace cuvae
