// The default number of threads of the CPU backend.
#pragma once
#include <filesystem>

namespace cuvae::cpu {

/// OMP_NUM_THREADS if it is set. Otherwise the cores that this process may run on, limited by its cgroup's quota.
int default_threads();

/// The CPU quota, in cores, of the control group whose path stands in `self` (as in /proc/self/cgroup), or of a group
/// around it, under `root` (as in /sys/fs/cgroup); versions 1 and 2. Infinity where there is none.
double cgroup_cores(const std::filesystem::path& self, const std::filesystem::path& root);

}  // namespace cuvae::cpu
