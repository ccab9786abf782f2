// How much memory the process may use.
#pragma once
#include <cstddef>

namespace cuvae {

/// The smallest of the machine's memory, the limits of the process's control groups, and the limits of its address
/// space and data, in bytes.
std::size_t memory_limit();

}  // namespace cuvae
