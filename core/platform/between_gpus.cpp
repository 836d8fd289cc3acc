// Tensors from GPU to GPU, each of another process.
#include "handgrad/platform/between_gpus.h"

#ifdef HANDGRAD_NCCL
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <chrono>
#include <cstdlib>
#include <thread>
#endif

namespace handgrad {

#ifdef HANDGRAD_NCCL

struct BetweenGpus::Nccl {
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group;
};

BetweenGpus::BetweenGpus(const ProcessStore& store, int rank, int size) : nccl_(std::make_unique<Nccl>()) {
  // Else a process that is gone would end the others from within a thread of c10d, with a trace.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): before c10d has threads that ask
  setenv("TORCH_NCCL_BLOCKING_WAIT", "1", 0);
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = process_timeout;
  const auto own_keys = c10::make_intrusive<c10d::PrefixStore>("nccl", store.c10d());
  nccl_->group = c10::make_intrusive<c10d::ProcessGroupNCCL>(own_keys, rank, size, options);
}

BetweenGpus::~BetweenGpus() {
  try {
    nccl_->group->shutdown();
  } catch (...) {  // NOLINT(bugprone-empty-catch): the process ends
  }
}

void BetweenGpus::all_gather(int rank, std::vector<Tensor>& of_ranks) {
  std::vector<std::vector<Tensor>> taken = {of_ranks};
  std::vector<Tensor> given = {of_ranks[static_cast<std::size_t>(rank)]};
  const auto gathering = nccl_->group->allgather(taken, given);
  // c10d would look once in a millisecond.
  const auto end = std::chrono::steady_clock::now() + process_timeout;
  while (!gathering->isCompleted()) {
    if (std::chrono::steady_clock::now() > end) throw LostProcess("another GPU does not answer");
    std::this_thread::yield();
  }
  gathering->wait();
}

void BetweenGpus::leave() {
  nccl_->group->abort();
}

#else

struct BetweenGpus::Nccl {};

BetweenGpus::BetweenGpus(const ProcessStore& /*store*/, int /*rank*/, int /*size*/) {
  throw LaunchError(
      "--device: this handgrad was built without NCCL, by which several GPUs train one network; give cpu, or start "
      "one process");
}

BetweenGpus::~BetweenGpus() = default;
void BetweenGpus::all_gather(int /*rank*/, std::vector<Tensor>& /*of_ranks*/) {}
void BetweenGpus::leave() {}

#endif

}  // namespace handgrad
