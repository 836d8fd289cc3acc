// Which library gives the program what several of them have.
#include <dlfcn.h>

#include <string>

#include "test.h"

TEST_CASE("std::filesystem is the standard library's, whatever LibTorch brings", "[library]") {
  // remove_all(const path&, std::error_code&)
  void* function = dlsym(RTLD_DEFAULT, "_ZNSt10filesystem10remove_allERKNS_7__cxx114pathERSt10error_code");
  REQUIRE(function != nullptr);
  Dl_info info;
  REQUIRE(dladdr(function, &info) != 0);
  CHECK_THAT(std::string(info.dli_fname), Catch::Contains("libstdc++"));
}
