// A data set in a backend's memory.
#pragma once
#include "cuvae/backend.h"
#include "cuvae/dataset.h"

namespace cuvae {

/// The bytes of a row of a matrix; 0 of an empty view.
inline std::size_t row_bytes(ConstView v) { return static_cast<std::size_t>(v.cols) * size_of(v.dtype); }

/// The examples and their conditions in the backend's memory. The CPU reads the data set directly. Other devices get a
/// copy, unless the data set is larger than `most_bytes`, or, if that is 0, larger than nine tenths of the free memory.
class ResidentData {
 public:
  ResidentData(Backend& backend, const Dataset& data, std::size_t most_bytes = 0);
  bool whole() const { return whole_; }                 ///< whether the backend can read the views
  ConstView view() const { return view_; }              ///< [N, D], in the host's memory unless whole()
  ConstView conditions() const { return conditions_; }  ///< [N, C], likewise; empty where there are none

 private:
  Dataset data_;  // keeps the bytes alive
  Buffer copy_, copy_of_conditions_;
  ConstView view_, conditions_;
  bool whole_ = true;
};

}  // namespace cuvae
