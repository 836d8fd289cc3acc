// Whether a command may write a file.
#include "commands/output_file.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "run/run_directory.h"
#include "sweep/sweep_directory.h"

namespace handgrad::app {

void add_force_flag(Options& options) {
  options.toggle("force", "replace a file that is there; never one that a run or a sweep keeps");
}

void require_replaceable(const std::filesystem::path& file, const std::string& flag, const Options& options) {
  std::error_code error;
  // Links are followed, as they are when the file is written.
  const std::filesystem::path target = std::filesystem::weakly_canonical(file, error);
  if (is_kept_by_run(target) || is_kept_by_sweep(target)) {
    throw FileError(fmt::format("--{}: {} is the place of a file that the {} keeps; name another file", flag,
                                printable(file.string()), is_kept_by_run(target) ? "run" : "sweep"));
  }
  if (std::filesystem::is_regular_file(file, error) && !options.on("force")) {
    throw FileError(fmt::format("--{}: {} is there already; name another file, or give --force to replace it",
                                flag, printable(file.string())));
  }
}

}  // namespace handgrad::app
