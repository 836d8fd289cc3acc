// A file that a command writes under the name that the user gives it.
#pragma once

#include <filesystem>
#include <string>

#include "cli/options.h"

namespace handgrad::app {

// Adds the flag --force.
void add_force_flag(Options& options);

// Throws FileError where a file must not be written: in the place of a file that a run or a sweep keeps, be
// it there or not; and of any other file that is there, unless --force is given. `flag` is what names it.
void require_replaceable(const std::filesystem::path& file, const std::string& flag, const Options& options);

}  // namespace handgrad::app
