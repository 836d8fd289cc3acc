// What only a GPU has: a stream of one's own, graphs of launches, memory of its own. The one file that needs
// CUDA's headers: it is empty where LibTorch was built without CUDA, and no GPU is then ever chosen.
#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace handgrad {

// Whether this program can compute on a GPU, should there be one.
bool built_with_cuda();

// Whether it also finds one.
bool has_gpu();

// An NVIDIA GPU that the machine has and that this program cannot use: why, and what to do about it. Nothing
// where there is none, or where it can be used. `root`: where the system's files are.
struct UnusedGpu {
  std::string why, remedy;
};
std::optional<UnusedGpu> unused_gpu(const std::filesystem::path& root = "/");

// Makes a new stream the current one of this thread, as long as it lives: work on the default stream cannot
// be recorded. Waits for the GPU at both ends, so that what was and will be launched elsewhere is in order.
// Does nothing for a CPU.
class OwnStream {
 public:
  explicit OwnStream(at::Device device);
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

 private:
  struct Guard;
  std::unique_ptr<Guard> guard_;
};

// Launches that were recorded once and are then made as one, which takes the processor about as long as one
// of them. CUDA C++ Programming Guide, "CUDA Graphs"; PyTorch's torch.cuda.CUDAGraph.
class LaunchGraph {
 public:
  // Records what `work` launches, and runs none of it. All memory that it reads and writes must outlive the
  // graph and stay where it is; the current stream must be an OwnStream; `work` must have run before, since a
  // library's first use allocates; and it must not wait for the GPU. What `work` allocates only for itself
  // lies where that of `earlier` does, if that is not null: the two must never run at the same time.
  LaunchGraph(const std::function<void()>& work, const LaunchGraph* earlier);
  ~LaunchGraph();
  LaunchGraph(LaunchGraph&&) noexcept;
  LaunchGraph& operator=(LaunchGraph&&) = delete;

  // Launches it all on the current stream.
  void launch();

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

// How long the work takes that is launched between start() and stop(), by the device's own clock: nobody
// waits for the work until the time is asked for. The current stream must be the same all the time.
class LaunchTimer {
 public:
  explicit LaunchTimer(at::Device device);
  ~LaunchTimer();
  LaunchTimer(const LaunchTimer&) = delete;
  LaunchTimer& operator=(const LaunchTimer&) = delete;

  void start();
  void stop();

  // From each start to the stop that came after it. Waits until the work is done.
  std::chrono::nanoseconds total();

 private:
  struct Events;
  std::unique_ptr<Events> events_;  // null on a CPU
  std::chrono::steady_clock::time_point started_;
  std::chrono::nanoseconds total_{};
};

// Waits until the device has done all that was launched. Does nothing for a CPU.
void wait_for(at::Device device);

struct GpuMemory {
  std::int64_t free = 0, total = 0;  // bytes
};
GpuMemory gpu_memory(at::Device device);

// Such as "NVIDIA H200".
std::string gpu_name(at::Device device);

}  // namespace handgrad
