// How long a training step takes, beside what bounds it and what could be used in its place.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/nn/parameters.h"

namespace handgrad {

// A time over several rounds, in microseconds.
struct Timing {
  double median = 0, fastest = 0, slowest = 0;
};

struct StepBenchmark {
  Architecture architecture;
  std::int64_t batch_size = 0;
  at::Device device = at::kCPU;  // that of the examples
  // One network, as `train` takes it, shuffled batch to update. On the CPU with a second core that gathers,
  // on a GPU with a graph of the launches.
  Timing step;
  Timing step_alone;                                     // the same on one core, or without the graph
  std::vector<std::pair<std::int64_t, Timing>> replica;  // by number of networks: the time per network
  Timing autograd;  // the same network with autograd and torch::optim::SGD, shuffled
  Timing products;  // the matrix products of the step alone
  Timing floor;     // its arithmetic at the speed of a product of large square matrices

  // GFLOP/s of one network's step that takes so long.
  double gflops(double step_us) const;
};

// Floating-point operations of the matrix products of one step: of each layer two per weight and image for y,
// dW and, but for the first layer, dx.
double step_flops(const Architecture& architecture, std::int64_t batch_size);

// All contenders in turn, `rounds` times, each time for about 30 ms. `replicas`: the sizes of the ensembles;
// `peers`: whether `step`, the bare products and autograd are among them. Throws DataError for fewer images
// than a batch.
StepBenchmark benchmark_step(const Examples& examples, const Architecture& architecture,
                             std::int64_t batch_size, const std::vector<std::int64_t>& replicas, bool peers,
                             int rounds);

struct WorkersBenchmark {
  std::int64_t replicas = 0;       // of each of the two groups
  Timing one_worker, two_workers;  // for the same steps of both groups
};

// Two groups of networks, one after the other on one core and side by side on two.
WorkersBenchmark benchmark_workers(const Examples& examples, const Architecture& architecture,
                                   std::int64_t batch_size, std::int64_t replicas, int rounds);

}  // namespace handgrad
