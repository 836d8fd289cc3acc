// What of the machine this process may use: less than all of it under an affinity mask or the limits of a
// cgroup, which is how containers and batch systems divide a machine.
#pragma once

#include <cstdint>
#include <filesystem>

namespace handgrad {

// Cores that this process may compute on: those of its affinity mask, at most as many as the time that its
// cgroups grant it adds up to. At least 1.
int available_cores();

// Bytes that this process can still take before the kernel ends it or starts to swap: what the machine has
// available, and what is left of the limits of its cgroups. The largest int64 where nobody says.
std::int64_t available_memory();

struct CgroupLimits {
  double cores;              // infinite where there is no limit
  std::int64_t memory_left;  // bytes; the largest int64 where there is no limit
};

// The narrowest limits of this process's cgroups, of version 1 and 2, and of the groups around them. `root`:
// where /proc and /sys are looked for. Linux kernel documentation, admin-guide/cgroup-v1 and cgroup-v2.
CgroupLimits cgroup_limits(const std::filesystem::path& root = "/");

}  // namespace handgrad
