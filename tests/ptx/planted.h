// Kernels with a mistake, and correct versions of them.
#pragma once
#include <string>

namespace planted {

/// Runs the kernel with this name, with or without its mistake. Returns the result of launching and waiting.
bool run(const std::string& name, bool mistaken);

}  // namespace planted
