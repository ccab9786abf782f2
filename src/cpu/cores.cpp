#include "cpu/cores.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace cuvae::cpu {
namespace {

namespace fs = std::filesystem;

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

double quota(double microseconds, double period) {
  return microseconds > 0 && period > 0 ? microseconds / period : kNoLimit;
}

// Control groups of version 2: one file with quota and period, "150000 100000". The quota "max" means no limit.
double quota_v2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  std::string microseconds;
  double period = 0;
  if (!(file >> microseconds >> period) || microseconds == "max") return kNoLimit;
  return quota(std::strtod(microseconds.c_str(), nullptr), period);
}

// Control groups of version 1: one file with the quota, one with the period. The quota -1 means no limit.
double quota_v1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  double microseconds = 0, period = 0;
  return quota_file >> microseconds && period_file >> period ? quota(microseconds, period) : kNoLimit;
}

// The smallest quota of the group and of the groups that contain it. A container may see its own group as the root.
template <class Quota>
double least_quota(const fs::path& root, const std::string& group, Quota quota_of) {
  double least = quota_of(root);
  fs::path path = root;
  for (const fs::path& part : fs::path(group).relative_path()) {
    if (part == "..") break;
    path /= part;
    least = std::min(least, quota_of(path));
  }
  return least;
}

}  // namespace

double cgroup_cores(const fs::path& self, const fs::path& root) {
  double least = kNoLimit;
  std::ifstream file(self);
  for (std::string line; std::getline(file, line);) {  // version 2: "0::/a/b"; version 1: "4:cpu,cpuacct:/a/b"
    std::istringstream fields(line);
    std::string number, controllers, group;
    std::getline(fields, number, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, group);
    if (controllers.empty()) {
      least = std::min(least, least_quota(root, group, quota_v2));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      for (const std::string& mount : {controllers, std::string("cpu")})
        least = std::min(least, least_quota(root / mount, group, quota_v1));
    }
  }
  return least;
}

int default_threads() {
  const char* const asked = std::getenv("OMP_NUM_THREADS");
  if (asked != nullptr && *asked != '\0') return omp_get_max_threads();
  const double cores = std::min<double>(omp_get_num_procs(), cgroup_cores("/proc/self/cgroup", "/sys/fs/cgroup"));
  return std::max(1, static_cast<int>(std::ceil(cores)));
}

}  // namespace cuvae::cpu
