// What launchers say in the environment.
#include "handgrad/platform/launch.h"

#include <fmt/format.h>

#include <optional>

#include "handgrad/base/errors.h"
#include "handgrad/base/numbers.h"
#include "handgrad/base/printable.h"

namespace handgrad {

namespace {

constexpr std::uint16_t default_port = 29500;  // PyTorch's
constexpr const char* loopback = "127.0.0.1";

class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  bool has(const char* variable) const {
    const char* const value = environment_(variable);
    return value != nullptr && *value != '\0';
  }

  std::string text(const char* variable) const { return has(variable) ? environment_(variable) : ""; }

  std::int64_t number(const char* variable, std::int64_t least, std::int64_t most) const {
    const std::optional<std::int64_t> value = parse_integer(text(variable));
    if (!value || *value < least || *value > most) {
      throw LaunchError(fmt::format("{}: got {}; must be a whole number from {} to {}", variable,
                                    printable(text(variable)), least, most));
    }
    return *value;
  }

 private:
  const Environment& environment_;
};

// The variables by which a starter numbers its processes.
struct Numbering {
  const char* starter;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;  // how many there are on this machine; null where nobody says
  bool also_alone;  // whether a process that it started alone has a rank too, as a batch script of Slurm has
};

constexpr Numbering numberings[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", false},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", false},
    {"MPI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", false},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", nullptr, true},
};

constexpr std::int64_t most_processes = 65536;
constexpr std::int64_t most_restarts = 1000000;

void require_all(const Variables& variables, const Numbering& numbering) {
  for (const auto& [given, missing] :
       {std::pair(numbering.rank, numbering.size), std::pair(numbering.size, numbering.rank)}) {
    if (variables.has(given) && !variables.has(missing)) {
      throw LaunchError(fmt::format("{} is set but {} is not; start all processes with {}, or unset {}",
                                    given, missing, numbering.starter, given));
    }
  }
}

bool all_on_this_machine(const Variables& variables, const Numbering& numbering, int size) {
  return numbering.local_size != nullptr && variables.has(numbering.local_size) &&
         variables.number(numbering.local_size, 1, most_processes) == size;
}

std::string meeting_host(const Variables& variables, const Numbering& numbering, int size) {
  if (variables.has("MASTER_ADDR")) return variables.text("MASTER_ADDR");
  if (all_on_this_machine(variables, numbering, size)) return loopback;
  if (variables.has("SLURM_STEP_NODELIST")) return first_host(variables.text("SLURM_STEP_NODELIST"));
  throw LaunchError(
      fmt::format("MASTER_ADDR is not set, so that {} processes cannot find each other; set it to the name "
                  "of the machine of the first",
                  size));
}

}  // namespace

std::string first_host(const std::string& list) {
  std::string host;
  for (std::size_t i = 0; i < list.size() && list[i] != ','; ++i) {
    if (list[i] != '[') {
      host += list[i];
      continue;
    }
    const std::size_t end = std::min(list.find(']', i), list.size());
    host += list.substr(i + 1, std::min(list.find_first_of(",-", i), end) - i - 1);
    i = end;
  }
  return host;
}

Launch read_launch(const Environment& environment) {
  const Variables variables(environment);
  for (const Numbering& numbering : numberings) {
    if (!numbering.also_alone) require_all(variables, numbering);
    if (!variables.has(numbering.size)) continue;
    Launch launch;
    launch.size = static_cast<int>(variables.number(numbering.size, 1, most_processes));
    launch.rank = static_cast<int>(variables.number(numbering.rank, 0, launch.size - 1));
    if (launch.size == 1) return {};
    launch.starter = numbering.starter;
    launch.local_rank = variables.has(numbering.local_rank)
                            ? static_cast<int>(variables.number(numbering.local_rank, 0, launch.size - 1))
                            : launch.rank;
    launch.local_size = numbering.local_size != nullptr && variables.has(numbering.local_size)
                            ? static_cast<int>(variables.number(numbering.local_size, 1, launch.size))
                            : 1;
    launch.host = meeting_host(variables, numbering, launch.size);
    launch.port = variables.has("MASTER_PORT")
                      ? static_cast<std::uint16_t>(variables.number("MASTER_PORT", 1, 65535))
                      : default_port;
    if (variables.has("TORCHELASTIC_RESTART_COUNT"))
      launch.restart = static_cast<int>(variables.number("TORCHELASTIC_RESTART_COUNT", 0, most_restarts));
    launch.starter_keeps_store = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
    return launch;
  }
  return {};
}

}  // namespace handgrad
