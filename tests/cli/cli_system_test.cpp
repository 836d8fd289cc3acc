// What the program makes of the machine and its libraries, as its users see it.
#include "cli/program.h"

#if defined(__x86_64__)
TEST_CASE("BLIS gets the kernels that suit the width of the network, whatever their numbers") {
  const TemporaryDirectory directory;
  if (run(directory, "doctor").out.find("BLIS at") == std::string::npos) return;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  const std::string train = "train --device cpu --data synthetic --epochs 0 --hidden ";
  const auto kernels = [&](const std::string& hidden) {
    return run(directory, train + hidden, "BLIS_ARCH_DEBUG=1").error;
  };
  CHECK_THAT(kernels("7"), Catch::Contains("sub-configuration 'haswell'"));
  CHECK_THAT(kernels("128"),
             Catch::Contains(avx512 ? "sub-configuration 'skx'" : "sub-configuration 'haswell'"));
}
#endif
