// Which library gives the program what several of them have.
#include <dlfcn.h>

#include <filesystem>
#include <string>

#include "test.h"

TEST_CASE("std::filesystem is the compiler's, whatever LibTorch brings", "[library]") {
  // remove_all(const path&, std::error_code&)
  void* function = dlsym(RTLD_DEFAULT, "_ZNSt10filesystem10remove_allERKNS_7__cxx114pathERSt10error_code");
  REQUIRE(function != nullptr);
  Dl_info info;
  REQUIRE(dladdr(function, &info) != 0);
  // Else the library of the compiler, or the program itself where that is linked into it.
  const std::string file = std::filesystem::path(info.dli_fname).filename().string();
  CHECK_THAT(file, !Catch::StartsWith("libtorch") && !Catch::StartsWith("libc10"));
}
