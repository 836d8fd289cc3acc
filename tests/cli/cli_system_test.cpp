// What the program makes of the machine and its libraries, as its users see it.
#include "cli/program.h"

#if defined(__x86_64__)
TEST_CASE("BLIS gets the kernels that suit the width of the network, whatever their numbers") {
  const TemporaryDirectory directory;
  const auto kernels = [&](const std::string& command) {
    return run(directory, command, "BLIS_ARCH_DEBUG=1");
  };
  const Outcome doctor = kernels("doctor");
  if (doctor.out.find("BLIS at") == std::string::npos) return;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  CHECK_THAT(doctor.error, Catch::Contains("sub-configuration 'haswell'"));
  if (doctor.out.find("by BLIS") == std::string::npos) return;  // LibTorch alone multiplies by it
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  const bool large_by_blas = doctor.out.find("oneDNN") == std::string::npos;
  const std::string train = "train --device cpu --data synthetic --epochs 0 --hidden ";
  CHECK_THAT(kernels(train + "7").error, Catch::Contains("sub-configuration 'haswell'"));
  CHECK_THAT(
      kernels(train + "128").error,
      Catch::Contains(avx512 && large_by_blas ? "sub-configuration 'skx'" : "sub-configuration 'haswell'"));
}

TEST_CASE("where no code may be made, the BLAS does all products") {
  const TemporaryDirectory directory;
  // Linux 6.3 refuses from here on that what was written is executed; an older one has this end with 77.
  const std::string forbidden =
      "python3 -c 'import ctypes, os, sys; sys.exit(77) if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) else "
      "os.execv(sys.argv[1], sys.argv[1:])'";
  const Outcome doctor = run(directory, "doctor", forbidden);
  if (doctor.exit_code == 77) return;
  CHECK_THAT(doctor.out, Catch::Contains("libxsmm-dev"));
  for (const std::string hidden : {"20", "200"}) {
    const Outcome training =
        run(directory, "train --device cpu --data synthetic --epochs 1 --hidden " + hidden, forbidden);
    CHECK(training.exit_code == 0);
    CHECK_THAT(training.out, !Catch::Contains("libxsmm") && !Catch::Contains("oneDNN"));
  }
}
#endif
