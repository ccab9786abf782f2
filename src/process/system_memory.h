// How much memory the process may take.
#pragma once
#include <cstddef>

namespace cuvae {

/// The least of the machine's memory, the limit of the process's cgroups and those of its address space and data.
std::size_t memory_limit();

}  // namespace cuvae
