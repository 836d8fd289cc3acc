// What of the machine this process may use.
#include "handgrad/platform/resources.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace handgrad {

namespace {

namespace fs = std::filesystem;

constexpr double no_core_limit = std::numeric_limits<double>::infinity();
constexpr std::int64_t no_memory_limit = std::numeric_limits<std::int64_t>::max();

// The first number in a file; none where it cannot be read, or says "max".
std::optional<double> number_in(const fs::path& file) {
  std::ifstream stream(file);
  double number = 0;
  if (!(stream >> number)) return std::nullopt;
  return number;
}

// The number in the line of a file that begins with this word.
std::optional<double> number_after(const fs::path& file, const std::string& word) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string first;
    double number = 0;
    if (words >> first >> number && first == word) return number;
  }
  return std::nullopt;
}

// The cores that `quota` out of every `period` microseconds make. Version 1 says −1 for no quota.
double cores_of(std::optional<double> quota, std::optional<double> period) {
  return quota && period && *quota > 0 && *period > 0 ? *quota / *period : no_core_limit;
}

// A cgroup's file cache that nobody uses counts as used, and is given back when memory gets short.
std::int64_t memory_left(const fs::path& group, const char* limit, const char* usage, const char* cache) {
  const std::optional<double> most = number_in(group / limit);
  const std::optional<double> used = number_in(group / usage);
  if (!most || !used) return no_memory_limit;
  const double left = *most - *used + number_after(group / "memory.stat", cache).value_or(0);
  if (left >= static_cast<double>(no_memory_limit)) return no_memory_limit;
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(left));
}

void narrow(CgroupLimits& limits, const fs::path& group) {
  // "max 100000" where there is no limit
  std::ifstream cpu_max(group / "cpu.max");
  double quota = 0;
  double period = 0;
  if (cpu_max >> quota >> period) limits.cores = std::min(limits.cores, cores_of(quota, period));
  limits.cores = std::min(
      limits.cores, cores_of(number_in(group / "cpu.cfs_quota_us"), number_in(group / "cpu.cfs_period_us")));
  limits.memory_left =
      std::min({limits.memory_left, memory_left(group, "memory.max", "memory.current", "inactive_file"),
                memory_left(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")});
}

// Where a line of /proc/self/cgroup, "ID:CONTROLLERS:PATH", says that the hierarchy may be mounted.
std::vector<fs::path> mounts(const fs::path& cgroups, const std::string& controllers) {
  if (controllers.empty()) return {cgroups, cgroups / "unified"};  // version 2
  std::vector<fs::path> places = {cgroups / controllers};
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) places.push_back(cgroups / name);
  return places;
}

}  // namespace

CgroupLimits cgroup_limits(const fs::path& root) {
  CgroupLimits limits{no_core_limit, no_memory_limit};
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    for (const fs::path& mount : mounts(root / "sys/fs/cgroup", line.substr(first + 1, second - first - 1))) {
      // In a container the path may be that of the host: what is not there has no file to read.
      for (fs::path path = fs::path(line.substr(second + 1)).relative_path();; path = path.parent_path()) {
        narrow(limits, mount / path);
        if (path.empty()) break;
      }
    }
  }
  return limits;
}

int available_cores() {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) cores = CPU_COUNT(&allowed);
  // A part of a core is no place for a thread: it would stand still at the end of every period.
  return static_cast<int>(std::max(1.0, std::min<double>(cores, std::floor(cgroup_limits().cores))));
}

std::int64_t available_memory() {
  const std::optional<double> kilobytes = number_after("/proc/meminfo", "MemAvailable:");
  const std::int64_t of_machine = kilobytes ? static_cast<std::int64_t>(*kilobytes) * 1024 : no_memory_limit;
  return std::min(of_machine, cgroup_limits().memory_left);
}

}  // namespace handgrad
