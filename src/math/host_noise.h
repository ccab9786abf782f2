// Standard normals on the host, for draws outside of training.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuvae/types.h"

namespace cuvae {

/// Normals 0 .. count - 1 of a stream of `seed` at step 0, the same on every backend.
std::vector<float> standard_normals(std::uint64_t seed, Stream stream, std::size_t count);

}  // namespace cuvae
