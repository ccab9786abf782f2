// A data set in a backend's memory, and what training and evaluation both compute from it.
#pragma once
#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"
#include "cuvae/vae.h"

namespace cuvae {

/// The examples as the backend sees them. The CPU reads the data set where it lies; other devices get a copy, unless
/// the data set is larger than `most_bytes`, or, where that is 0, than nine tenths of the memory at hand.
class ResidentData {
 public:
  ResidentData(Backend& backend, const Dataset& data, std::size_t most_bytes = 0);
  bool whole() const { return whole_; }     ///< whether the backend can read view()
  ConstView view() const { return view_; }  ///< else it is in the host's memory
  std::size_t row_bytes() const { return static_cast<std::size_t>(view_.cols) * size_of(view_.dtype); }

 private:
  Dataset data_;  // keeps the bytes alive
  Buffer copy_;
  ConstView view_;
  bool whole_ = true;
};

/// evaluate() over rows of data that fits the model, in the model's units, with its log-densities in the data's; what
/// is not on the backend is brought there a batch at a time.
Evaluation evaluate_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                         const EvaluateOptions& options);

/// Latent dimensions whose posterior mean has a variance above 0.01, from the moments of stats [B, 2L].
Index active_units(Backend& backend, const Buffer& moments, Index latent);

/// Those whose log variance has a mean at or outside of its clamp.
Index clamped_units(Backend& backend, const Buffer& moments, Index latent);

}  // namespace cuvae
