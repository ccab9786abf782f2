// Kernels with a mistake, and correct twins.
#pragma once
#include <string>

namespace planted {

/// Runs the kernel of that name, with its mistake or without; what launch and wait returned.
bool run(const std::string& name, bool mistaken);

}  // namespace planted
