#include "process/system_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

namespace cuvae {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

// The number in a file. "max", and a file that cannot be read, mean no limit.
std::size_t limit_in(const std::filesystem::path& path) {
  std::size_t bytes = 0;
  return std::ifstream(path) >> bytes ? bytes : kNoLimit;
}

// The limit of the process's control group and the groups around it, in versions 2 and 1 of control groups.
std::size_t cgroup_limit() {
  std::size_t least = std::min(limit_in("/sys/fs/cgroup/memory.max"),  // the root as a container sees it
                               limit_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const bool unified = line.starts_with("0::");
    const std::size_t controller = line.find(":memory:");
    if (!unified && controller == line.npos) continue;
    const std::filesystem::path root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    std::filesystem::path group = line.substr(unified ? 4 : std::min(line.size(), controller + 9));
    for (; !group.empty(); group = group.parent_path())
      least = std::min(least, limit_in(root / group / (unified ? "memory.max" : "memory.limit_in_bytes")));
  }
  return least;
}

std::size_t resource_limit(int resource) {
  rlimit limit{};
  return ::getrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
             ? static_cast<std::size_t>(limit.rlim_cur)
             : kNoLimit;
}

}  // namespace

std::size_t memory_limit() {
  const std::size_t machine =
      static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(::sysconf(_SC_PAGE_SIZE));
  return std::min({machine, cgroup_limit(), resource_limit(RLIMIT_AS), resource_limit(RLIMIT_DATA)});
}

}  // namespace cuvae
