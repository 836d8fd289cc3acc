// Tensors from GPU to GPU, each of another process.
#pragma once

#include <memory>
#include <vector>

#include "handgrad/base/tensor.h"
#include "handgrad/platform/process_store.h"

namespace handgrad {

// By the NCCL of LibTorch's c10d. What that finds wrong it throws, of many types.
class BetweenGpus {
 public:
  // Throws LaunchError where this build has no NCCL.
  BetweenGpus(const ProcessStore& store, int rank, int size);
  ~BetweenGpus();
  BetweenGpus(const BetweenGpus&) = delete;
  BetweenGpus& operator=(const BetweenGpus&) = delete;

  // As ProcessGroup's.
  void all_gather(int rank, std::vector<Tensor>& of_ranks);

  // What the others still wait for does not come.
  void leave();

 private:
  struct Nccl;
  std::unique_ptr<Nccl> nccl_;
};

}  // namespace handgrad
