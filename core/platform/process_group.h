// Processes that compute together, each as one of several ranks. Over LibTorch's c10d: its Gloo and, between GPUs, its
// NCCL.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/base/errors.h"
#include "handgrad/base/tensor.h"
#include "handgrad/platform/launch.h"
#include "handgrad/platform/process_store.h"

namespace handgrad {

// All ranks call the same functions in the same order, but for those of the store. Each throws LostProcess,
// `meet` too LaunchError.
class ProcessGroup {
 public:
  // Opens the store where they meet, or reaches it. Throws LaunchError where that cannot be within the timeout,
  // and where this build has no Gloo.
  explicit ProcessGroup(const Launch& launch);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  // Waits for the others. Throws LaunchError where that takes longer than the timeout, and where another
  // process has this rank.
  void meet();

  int rank() const { return launch_.rank; }
  int size() const { return launch_.size; }
  // Of those on this machine.
  int local_rank() const { return launch_.local_rank; }
  int local_size() const { return launch_.local_size; }

  // From then on all_gather also takes tensors on this GPU, which no other process uses. Throws LaunchError where
  // this build has no NCCL, and where NCCL cannot.
  void join_gpus(at::Device gpu);

  // One tensor of each rank, contiguous and of one shape: that of this rank is there, and the others come.
  void all_gather(std::vector<Tensor>& of_ranks);

  // Gives a contiguous tensor to another rank, which gives one of the shape of `taken`, also contiguous. On a CPU.
  void swap(int other, const Tensor& given, const Tensor& taken);

  // What rank 0 says, to all.
  std::string from_first(const std::string& text);
  std::int64_t from_first(std::int64_t number);

  // Of every rank, whether it says yes.
  std::vector<bool> from_all(bool yes);

  // The store where they meet, for ranks that each go at their own pace; for several threads at once.

  // Adds to a number that all share, 0 at first, and returns what it is then.
  std::int64_t add(const std::string& counter, std::int64_t amount);
  // Lays down a text that another rank takes away; none where nothing lies there.
  void put(const std::string& key, const std::string& text);
  std::optional<std::string> take(const std::string& key);
  // Whether a rank has left for a failure.
  bool has_failed();

  // Leaves the others for a failure, so that they hear of it. Whether it is the first: one rank speaks for
  // all. `lost`: the failure is that another does not answer; then `missing` are those of whom nothing is heard.
  bool fails_first(bool lost, std::vector<int>& missing);

 private:
  class Connection;

  // The tensor of rank 0, to all.
  void broadcast(Tensor& tensor);

  Launch launch_;
  std::unique_ptr<Connection> connection_;
};

// Of this process; where it is alone, null, rank 0 of 1.
inline int rank_of(const ProcessGroup* processes) {
  return processes == nullptr ? 0 : processes->rank();
}
inline int size_of(const ProcessGroup* processes) {
  return processes == nullptr ? 1 : processes->size();
}

// "" where processes can compute together in this build, else why not.
std::string no_process_group();

}  // namespace handgrad
