// How many threads the CPU backend takes unless told.
#pragma once
#include <filesystem>

namespace cuvae::cpu {

/// OMP_NUM_THREADS where it is set, else the cores that this process may run on and that its cgroup's quota pays for.
int default_threads();

/// The CPU quota, in cores, of the control group whose path stands in `self` (as in /proc/self/cgroup), or of a group
/// around it, under `root` (as in /sys/fs/cgroup); versions 1 and 2. Infinity where there is none.
double cgroup_cores(const std::filesystem::path& self, const std::filesystem::path& root);

}  // namespace cuvae::cpu
