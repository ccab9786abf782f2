// The IDX format of MNIST: 0, 0, element type, number of dimensions, the dimensions as big-endian uint32, the values.
#pragma once
#include "data/formats/array_header.h"

namespace cuvae {

/// Reads headers of all six element types, which are big-endian; sizes are not checked here.
ArrayHeader read_idx_header(FileContent& content);

}  // namespace cuvae
