// A data set in a backend's memory, and computations that training and evaluation share.
#pragma once
#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"
#include "cuvae/vae.h"

namespace cuvae {

/// The examples in the backend's memory. The CPU reads the data set directly. Other devices get a copy, unless the data
/// set is larger than `most_bytes`, or, if that is 0, larger than nine tenths of the free memory.
class ResidentData {
 public:
  ResidentData(Backend& backend, const Dataset& data, std::size_t most_bytes = 0);
  bool whole() const { return whole_; }     ///< whether the backend can read view()
  ConstView view() const { return view_; }  ///< in the host's memory unless whole()
  std::size_t row_bytes() const { return static_cast<std::size_t>(view_.cols) * size_of(view_.dtype); }

 private:
  Dataset data_;  // keeps the bytes alive
  Buffer copy_;
  ConstView view_;
  bool whole_ = true;
};

/// evaluate() for rows of data that fit the model. The data are in the model's units, the results in the data's units.
/// Data that are not on the backend are copied there batch by batch.
Evaluation evaluate_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                         const EvaluateOptions& options);

/// The number of latent dimensions whose posterior mean has a variance above 0.01, from the moments of stats [B, 2L].
Index active_units(Backend& backend, const Buffer& moments, Index latent);

/// The number of latent dimensions whose mean log variance is at its clamp or outside.
Index clamped_units(Backend& backend, const Buffer& moments, Index latent);

}  // namespace cuvae
