// The IDX format of MNIST: 0, 0, element type, number of dimensions, the dimensions as big-endian uint32, the values.
#pragma once
#include "data/formats/array_header.h"

namespace cuvae {

/// Reads a header. All six element types are big-endian. Sizes are not checked here.
ArrayHeader read_idx_header(FileContent& content);

}  // namespace cuvae
