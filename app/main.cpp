// Dispatches to a command; the one place where failures become a line on stderr and an exit code.
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string>

#include "commands.h"
#include "errors.h"
#include "options.h"
#include "system.h"

namespace {

using namespace handgrad;

struct Command {
  const char* name;
  int (*run)(const app::Arguments&);
  const char* summary;
};

constexpr Command commands[] = {
    {"train", app::train_command, "train networks and save the best parameters"},
    {"evaluate", app::evaluate_command, "measure a saved model on labelled images"},
    {"predict", app::predict_command, "classify images from IDX or PNG files"},
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

int dispatch(const app::Arguments& arguments) {
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    fmt::print("{}", help());
    return 0;
  }
  if (first == "--version") {
    fmt::print("handgrad {} (LibTorch {})\n", version(), libtorch_version());
    return 0;
  }
  for (const Command& command : commands) {
    if (first == command.name) return command.run({arguments.begin() + 1, arguments.end()});
  }
  throw app::UsageError(first.empty()
                            ? "no command given; `handgrad --help` lists them"
                            : fmt::format("unknown command {}; `handgrad --help` lists them", first));
}

// One line, also where a library's message has several.
void complain(const std::string& message) {
  std::string line = message;
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  fmt::print(stderr, "handgrad: {}\n", line);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return dispatch({argv + 1, argv + argc});
  } catch (const app::UsageError& error) {
    complain(error.what());
    return 2;
  } catch (const ArgumentError& error) {
    complain(error.what());
    return 2;
  } catch (const c10::Error& error) {
    complain(fmt::format("LibTorch failed: {}", error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    complain("out of memory; use fewer --replicas, a smaller --batch-size or narrower --hidden layers");
  } catch (const std::exception& error) {
    complain(error.what());
  }
  return 1;
}
