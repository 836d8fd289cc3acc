// Other programs, run to their end.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace handgrad::app {

constexpr int program_not_found = 127;  // as shells say it

struct ProgramResult {
  int exit_code = 0;  // program_not_found where there is none, 128 + signal where one ended it
  std::string out, error;
};

// Runs arguments[0], found on PATH, without a shell and without standard input. `scratch`: a directory for
// what it prints. Throws FileError where no program can be started.
ProgramResult run_program(const std::vector<std::string>& arguments, const std::filesystem::path& scratch);

}  // namespace handgrad::app
