// The IDX format of MNIST: 0, 0, element type, number of dimensions, the dimensions as big-endian uint32, the values.
#pragma once
#include "data/array_header.h"

namespace cuvae {

/// Reads uint8 (0x08) and float32 (0x0D, big-endian) headers; sizes are not checked here.
ArrayHeader read_idx_header(FileContent& content);

}  // namespace cuvae
