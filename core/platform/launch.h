// Which of several processes this one is, as the program says in its environment that has started them all.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>

namespace handgrad {

struct Launch {
  std::string starter;  // "torchrun", "mpirun", "MPI" or "srun"; "" where this process is alone
  int rank = 0;         // of `size` processes
  int size = 1;
  int local_rank = 0;  // of the `local_size` processes on this machine
  int local_size = 1;
  // Where the processes meet: a store that rank 0 keeps, or the starter.
  std::string host;
  std::uint16_t port = 0;
  bool starter_keeps_store = false;
  int restart = 0;  // how often the starter has begun anew
};

// The value of a variable, null where it is not set, as std::getenv says it.
using Environment = std::function<const char*(const char* variable)>;

// RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT (torchrun; PyTorch's documentation of
// torch.distributed), OMPI_COMM_WORLD_* (Open MPI's documentation of mpirun), PMI_RANK and PMI_SIZE (MPICH),
// SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST (Slurm's documentation of srun); in
// this order.
// Without MASTER_ADDR, processes of one machine meet on its loopback, those of srun on its first host.
// Throws LaunchError where they contradict each other or one is missing.
Launch read_launch(const Environment& environment = std::getenv);

// The first host of Slurm's "node[03-05,7],other": "node03".
std::string first_host(const std::string& list);

}  // namespace handgrad
