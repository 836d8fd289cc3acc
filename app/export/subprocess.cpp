// Other programs, run to their end.
#include "export/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"

namespace handgrad::app {

namespace {

std::string contents_of(const std::filesystem::path& file) {
  const Bytes bytes = read_file(file);
  return {bytes.begin(), bytes.end()};
}

// Where the standard streams of the program go.
class FileActions {
 public:
  FileActions(const std::string& out, const std::string& error) {
    constexpr int create = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, out.c_str(), create, 0600);
    posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, error.c_str(), create, 0600);
  }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }

  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, const std::filesystem::path& scratch) {
  const std::string out = (scratch / "stdout").string();
  const std::string error = (scratch / "stderr").string();
  const FileActions actions(out, error);
  std::vector<std::string> copies = arguments;  // execv's array is not const
  std::vector<char*> argv;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t process = 0;
  const int failure = posix_spawnp(&process, argv.front(), actions.get(), nullptr, argv.data(), environ);
  if (failure == ENOENT) return {program_not_found, "", ""};
  if (failure != 0) {
    throw FileError(fmt::format("{}: cannot be started: {}", arguments.front(),
                                std::generic_category().message(failure)));
  }
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), contents_of(out),
          contents_of(error)};
}

}  // namespace handgrad::app
