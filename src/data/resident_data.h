// A data set in a backend's memory.
#pragma once
#include "cuvae/backend.h"
#include "cuvae/dataset.h"

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

}  // namespace cuvae
