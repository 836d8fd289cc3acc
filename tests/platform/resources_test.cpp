// What a process may use of its machine, read from made-up files of the kernel.
#include "handgrad/platform/resources.h"

#include <sched.h>

#include <cmath>
#include <limits>

#include "data/small_files.h"
#include "handgrad/files/temporary_directory.h"
#include "test.h"

using namespace handgrad;

namespace {

constexpr std::int64_t no_memory_limit = std::numeric_limits<std::int64_t>::max();

// Files of the kernel in a directory.
class Kernel {
 public:
  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = directory_ / name;
    std::filesystem::create_directories(file.parent_path());
    write_text(file, text);
  }
  CgroupLimits limits() const { return cgroup_limits(directory_.path()); }

 private:
  TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("without limits nothing is limited", "[resources]") {
  const Kernel kernel;
  CHECK(std::isinf(kernel.limits().cores));
  kernel.write("proc/self/cgroup", "0::/\n");
  kernel.write("sys/fs/cgroup/cpu.max", "max 100000\n");
  kernel.write("sys/fs/cgroup/memory.max", "max\n");
  kernel.write("sys/fs/cgroup/memory.current", "4096\n");
  CHECK(std::isinf(kernel.limits().cores));
  CHECK(kernel.limits().memory_left == no_memory_limit);
}

TEST_CASE("the narrowest limit of all groups around a process counts, version 2", "[resources]") {
  const Kernel kernel;
  kernel.write("proc/self/cgroup", "0::/jobs/one\n");
  kernel.write("sys/fs/cgroup/jobs/cpu.max", "150000 100000\n");
  kernel.write("sys/fs/cgroup/jobs/one/cpu.max", "400000 100000\n");
  kernel.write("sys/fs/cgroup/jobs/one/memory.max", "1000000\n");
  kernel.write("sys/fs/cgroup/jobs/one/memory.current", "700000\n");
  kernel.write("sys/fs/cgroup/jobs/one/memory.stat", "anon 500000\ninactive_file 100000\n");
  CHECK(kernel.limits().cores == 1.5);
  CHECK(kernel.limits().memory_left == 400000);
}

TEST_CASE("limits of cgroups of version 1", "[resources]") {
  const Kernel kernel;
  kernel.write("proc/self/cgroup", "4:memory:/a/b\n3:cpuset:/\n1:cpu,cpuacct:/a\n");
  kernel.write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n");
  kernel.write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  kernel.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  kernel.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  kernel.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2000\n");
  kernel.write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "3000\n");
  kernel.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  kernel.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n");
  CHECK(kernel.limits().cores == 0.5);
  CHECK(kernel.limits().memory_left == 0);
}

TEST_CASE("in a container the limits stand at the root", "[resources]") {
  const Kernel kernel;
  kernel.write("proc/self/cgroup", "0::/../../a/path/of/the/host\n1:cpu:/docker/0123\n");
  kernel.write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  kernel.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
  kernel.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(kernel.limits().cores == 2);
}

TEST_CASE("an affinity mask leaves the cores that it names", "[resources]") {
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  const int available = available_cores();
  sched_setaffinity(0, sizeof before, &before);
  CHECK(available == 1);
  CHECK(available_cores() <= CPU_COUNT(&before));
  CHECK(available_memory() > 0);
}
