// Runs the tests on one thread, so that every run computes the same.
#define CATCH_CONFIG_RUNNER
#include "catch.h"
#undef CHECK  // LibTorch has one of its own

#include "handgrad/platform/blas_kernels.h"
#include "handgrad/platform/system.h"
#include "handgrad/platform/threads.h"

int main(int argc, char** argv) {
  handgrad::set_threads(1);
  handgrad::choose_blas_kernels(0);  // those that training uses
  return Catch::Session().run(argc, argv);
}
