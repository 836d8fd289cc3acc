// Runs the program as its users do.
#pragma once

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "catch.h"
#include "handgrad/files/temporary_directory.h"

namespace fs = std::filesystem;
using handgrad::TemporaryDirectory;

struct Outcome {
  int exit_code = -1;
  std::string out, error;
};

inline std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Runs `handgrad ARGUMENTS` in `directory`, without the environment's data.
inline Outcome run(const TemporaryDirectory& directory, const std::string& arguments,
                   const std::string& before = "") {
  const std::string command = "cd '" + directory.path().string() + "' || exit 99; unset MNIST_DIR; { " +
                              before + " '" + HANDGRAD_PROGRAM + "' " + arguments +
                              "; } >out.txt 2>error.txt";
  const int status = std::system(command.c_str());  // NOLINT(cert-env33-c)
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.out = contents(directory.path() / "out.txt");
  outcome.error = contents(directory.path() / "error.txt");
  fs::remove(directory.path() / "out.txt");
  fs::remove(directory.path() / "error.txt");
  return outcome;
}

// One line on stderr that says `part`, nothing on stdout, the exit code.
inline void check_refused(const Outcome& outcome, int exit_code, const std::string& part) {
  CAPTURE(outcome.out, outcome.error);
  CHECK(outcome.exit_code == exit_code);
  CHECK(outcome.out.empty());
  CHECK(std::count(outcome.error.begin(), outcome.error.end(), '\n') == 1);
  CHECK_THAT(outcome.error, Catch::StartsWith("handgrad: ") && Catch::Contains(part));
}
