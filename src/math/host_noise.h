// Standard normals on the host, for draws outside of training.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuvae/types.h"

namespace cuvae {

/// The normals with numbers 0 to count - 1 of a stream, at step 0, with this seed. Every backend has the same.
std::vector<float> standard_normals(std::uint64_t seed, Stream stream, std::size_t count);

/// Those with numbers first to first + count - 1, at any step.
std::vector<float> standard_normals(std::uint64_t seed, Stream stream, std::uint32_t step, std::uint64_t first,
                                    std::size_t count);

}  // namespace cuvae
