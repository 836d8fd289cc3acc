// Which of several processes this is.
#include "handgrad/platform/launch.h"

#include <map>

#include "handgrad/base/errors.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

using Variables = std::map<std::string, std::string>;

Launch launch_of(const Variables& variables) {
  return read_launch([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string refusal(const Variables& variables) {
  try {
    launch_of(variables);
    return "";
  } catch (const LaunchError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("a process that nobody has started with others is alone", "[platform]") {
  CHECK(launch_of({}).size == 1);
  CHECK(launch_of({}).starter.empty());
  CHECK(launch_of({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).size == 1);
  // The script of a batch job, whose steps srun starts.
  CHECK(launch_of({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}).size == 1);
}

TEST_CASE("what launchers say of their processes", "[platform]") {
  const Launch torchrun = launch_of({{"RANK", "5"},
                                     {"WORLD_SIZE", "8"},
                                     {"LOCAL_RANK", "1"},
                                     {"LOCAL_WORLD_SIZE", "4"},
                                     {"TORCHELASTIC_RESTART_COUNT", "2"},
                                     {"MASTER_ADDR", "first"},
                                     {"MASTER_PORT", "4567"},
                                     {"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  CHECK(torchrun.starter == "torchrun");
  CHECK(torchrun.rank == 5);
  CHECK(torchrun.size == 8);
  CHECK(torchrun.local_rank == 1);
  CHECK(torchrun.local_size == 4);
  CHECK(torchrun.restart == 2);
  CHECK(torchrun.host == "first");
  CHECK(torchrun.port == 4567);
  CHECK(torchrun.starter_keeps_store);

  const Launch mpirun = launch_of({{"OMPI_COMM_WORLD_RANK", "1"},
                                   {"OMPI_COMM_WORLD_SIZE", "2"},
                                   {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                   {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  CHECK(mpirun.starter == "mpirun");
  CHECK(mpirun.host == "127.0.0.1");
  CHECK(mpirun.port == 29500);
  CHECK_FALSE(mpirun.starter_keeps_store);

  const Launch srun = launch_of({{"PMI_RANK", ""},
                                 {"SLURM_PROCID", "3"},
                                 {"SLURM_STEP_NUM_TASKS", "4"},
                                 {"SLURM_LOCALID", "1"},
                                 {"SLURM_STEP_NODELIST", "node[03-04]"}});
  CHECK(srun.starter == "srun");
  CHECK(srun.rank == 3);
  CHECK(srun.local_rank == 1);
  CHECK(srun.host == "node03");
}

TEST_CASE("the first of Slurm's hosts", "[platform]") {
  CHECK(first_host("node7") == "node7");
  CHECK(first_host("node7,node9") == "node7");
  CHECK(first_host("node[03-05,7],other") == "node03");
  CHECK(first_host("rack[1-2]node[3,4]") == "rack1node3");
  CHECK(first_host("node[") == "node");
  CHECK(first_host("").empty());
}

TEST_CASE("variables that contradict each other are refused by name", "[platform]") {
  CHECK_THAT(refusal({{"RANK", "0"}}), Contains("RANK is set but WORLD_SIZE is not"));
  CHECK_THAT(refusal({{"WORLD_SIZE", "2"}}), Contains("WORLD_SIZE is set but RANK is not"));
  CHECK_THAT(refusal({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}),
             Contains("RANK: got 2; must be a whole number from 0 to 1"));
  CHECK_THAT(refusal({{"RANK", "1"}, {"WORLD_SIZE", "1"}}),
             Contains("RANK: got 1; must be a whole number from 0 to 0"));
  CHECK_THAT(refusal({{"RANK", "x"}, {"WORLD_SIZE", "2"}}), Contains("RANK: got x"));
  CHECK_THAT(refusal({{"RANK", "0"}, {"WORLD_SIZE", "0"}}), Contains("WORLD_SIZE: got 0"));
  CHECK_THAT(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), Contains("MASTER_ADDR is not set"));
  CHECK_THAT(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
             Contains("MASTER_PORT: got 70000; must be a whole number from 1 to 65535"));
}
