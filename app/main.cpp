// Dispatches to a command; the one place where failures become a line on stderr and an exit code.
#include <c10/util/Exception.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iterator>
#include <string>
#include <vector>

#include "cli/options.h"
#include "commands/commands.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/platform/blas_kernels.h"
#include "handgrad/platform/system.h"

namespace {

using namespace handgrad;

struct Command {
  const char* name;
  int (*run)(const app::Arguments&);
  const char* summary;
  bool makes_files = false;  // they are its result, and what it prints only tells of them
};

constexpr Command commands[] = {
    {"train", app::train_command, "train networks and save the best parameters", true},
    {"evaluate", app::evaluate_command, "measure a saved model on labelled images"},
    {"predict", app::predict_command, "classify pictures, and images from IDX files"},
    {"export", app::export_command, "write a trained network for other programs, checked by them", true},
    {"data", app::data_command, "show what a data set holds, and its images as training changes them"},
    {"sweep", app::sweep_command, "train a grid of experiments with many seeds, and test claims", true},
    {"report", app::report_command, "write one HTML page about runs or sweeps", true},
    {"gradcheck", app::gradcheck_command, "prove the gradients of a network against autograd"},
    {"bench", app::bench_command, "time a training step beside what bounds it and its peers"},
    {"doctor", app::doctor_command, "show what this program runs on, and what to mend"},
};

std::string help() {
  std::string text =
      "handgrad: fully connected classifiers with hand-written gradients, on LibTorch\n\n"
      "Usage: handgrad COMMAND [ARGUMENTS]\n\nCommands:\n";
  for (const Command& command : commands) text += fmt::format("  {:<10}{}\n", command.name, command.summary);
  return text +
         "\n`handgrad COMMAND --help` tells all about a command; `handgrad --version` the version.\n"
         "First steps: `handgrad doctor`, then `handgrad train --data DIR`.\n"
         "Exit codes: 0 done, 2 wrong arguments, 1 any other failure, 128 + signal when interrupted.\n";
}

constexpr const char* no_output = "standard output cannot be written; is it closed, or the disk full?";

constexpr const char* no_memory =
    "out of memory; use fewer --replicas, a smaller --batch-size or narrower --hidden layers";

void require_no_more(const app::Arguments& arguments) {
  if (arguments.size() == 1) return;
  throw app::UsageError(
      fmt::format("unexpected argument {} after {}; leave it out", arguments[1], arguments[0]));
}

int dispatch(const app::Arguments& arguments) {
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    require_no_more(arguments);
    fmt::print("{}", help());
    return 0;
  }
  if (first == "--help-all") {  // what scripts/reference.sh makes the man page of
    require_no_more(arguments);
    fmt::print("{}", help());
    for (const Command& command : commands) {
      fmt::print("\n");
      command.run({"--help"});
    }
    return 0;
  }
  if (first == "--version") {
    require_no_more(arguments);
    fmt::print("handgrad {} (LibTorch {})\n", version(), libtorch_version());
    return 0;
  }
  for (const Command& command : commands) {
    if (first == command.name) return command.run({arguments.begin() + 1, arguments.end()});
  }
  if (first.empty()) throw app::UsageError("no command given; `handgrad --help` lists them");
  std::vector<std::string> names;
  for (const Command& command : commands) names.emplace_back(command.name);
  const std::string suggestion = app::did_you_mean(first, names);
  throw app::UsageError(fmt::format("unknown command {}{} `handgrad --help` lists them", first,
                                    suggestion.empty() ? ";" : suggestion));
}

// One line, also where a library's message has several.
void complain(const std::string& message) {
  std::fputs(fmt::format("handgrad: {}\n", printable(message)).c_str(), stderr);
}

// Whether the result is what is printed.
bool prints_result(const app::Arguments& arguments) {
  const auto given = [&](const char* word) {
    return std::find(arguments.begin(), arguments.end(), word) != arguments.end();
  };
  if (arguments.empty() || given("--help") || given("-h") || given("--dry-run")) return true;
  return std::none_of(std::begin(commands), std::end(commands), [&](const Command& command) {
    return command.makes_files && arguments.front() == command.name;
  });
}

// A file that is opened later must not get the number of a standard stream that the caller closed. A closed
// stdout takes what is not the result; a result that nobody gets is a failure, as on a full disk.
void open_standard_streams(bool writable) {
  while (true) {
    const int descriptor = open("/dev/null", writable ? O_RDWR : O_RDONLY);
    if (descriptor < 0 || descriptor > STDERR_FILENO) {
      if (descriptor >= 0) close(descriptor);
      return;
    }
  }
}

int run(const app::Arguments& arguments) {
  try {
    return dispatch(arguments);
  } catch (const app::UsageError& error) {
    complain(error.what());
    return 2;
  } catch (const ArgumentError& error) {
    complain(app::message_of(error));
    return 2;
  } catch (const Error& error) {
    complain(app::message_of(error));
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    // What LibTorch says of the processor's memory, and of a GPU's.
    const bool out_of_memory =
        text.find("allocate memory") != std::string::npos || text.find("out of memory") != std::string::npos;
    complain(out_of_memory ? no_memory : fmt::format("LibTorch failed: {}", text));
  } catch (const std::bad_alloc&) {
    complain(no_memory);
  } catch (const std::exception& error) {
    complain(std::ferror(stdout) != 0 ? no_output : error.what());
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const handgrad::app::Arguments arguments(argv + 1, argv + argc);
  open_standard_streams(!prints_result(arguments));
  std::signal(SIGXFSZ, SIG_IGN);     // a limit on the size of files is a failing write, like a full disk
  handgrad::choose_blas_kernels(0);  // commands that know the network choose again
  const int exit_code = run(arguments);
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (!written && exit_code == 0) complain(no_output);
  return written || exit_code != 0 ? exit_code : 1;
}
