// Streams and graphs of a GPU.
#include "handgrad/platform/cuda.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "handgrad/base/errors.h"

#ifdef HANDGRAD_CUDA

#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace handgrad {

bool built_with_cuda() {
  return true;
}

void wait_for(at::Device device) {
  if (!device.is_cuda()) return;
  const c10::cuda::CUDAGuard on_device(device);
  C10_CUDA_CHECK(cudaDeviceSynchronize());
}

struct OwnStream::Guard {
  explicit Guard(at::Device device) : stream(c10::cuda::getStreamFromPool(false, device.index())) {}

  c10::cuda::CUDAStreamGuard stream;
};

OwnStream::OwnStream(at::Device device) {
  if (!device.is_cuda()) return;
  wait_for(device);
  guard_ = std::make_unique<Guard>(device);
}

OwnStream::~OwnStream() {
  if (guard_ == nullptr) return;
  // An error of the GPU was or will be met by the next operation; a destructor cannot report it.
  static_cast<void>(cudaDeviceSynchronize());
}

struct LaunchGraph::Graph {
  at::cuda::CUDAGraph launches;
};

LaunchGraph::LaunchGraph(const std::function<void()>& work, const LaunchGraph* earlier)
    : graph_(std::make_unique<Graph>()) {
  if (earlier == nullptr) {
    graph_->launches.capture_begin();
  } else {
    graph_->launches.capture_begin(earlier->graph_->launches.pool());
  }
  try {
    work();
  } catch (...) {
    // The stream must not stay in the middle of a recording; the first error is the one to report.
    try {
      graph_->launches.capture_end();
    } catch (...) {  // NOLINT(bugprone-empty-catch)
    }
    throw;
  }
  graph_->launches.capture_end();
}

void LaunchGraph::launch() {
  graph_->launches.replay();
}

struct LaunchTimer::Events {
  void start() { begin.record(); }
  void stop() {
    end.record();
    stopped = true;
  }
  // Nanoseconds, where there is a span that nobody took yet.
  std::chrono::nanoseconds take() {
    if (!stopped) return {};
    stopped = false;
    end.synchronize();
    const std::chrono::duration<double, std::milli> time(begin.elapsed_time(end));
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time);
  }

  at::cuda::CUDAEvent begin{cudaEventDefault}, end{cudaEventDefault};  // the default has times
  bool stopped = false;
};

GpuMemory gpu_memory(at::Device device) {
  const c10::cuda::CUDAGuard on_device(device);
  std::size_t free = 0;
  std::size_t total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return {static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
}

std::string gpu_name(at::Device device) {
  return at::cuda::getDeviceProperties(device.index())->name;
}

}  // namespace handgrad

#else

namespace handgrad {

namespace {

[[noreturn]] void no_cuda() {
  throw DeviceError("device", "this handgrad was built with a LibTorch without CUDA; use cpu");
}

}  // namespace

bool built_with_cuda() {
  return false;
}

void wait_for(at::Device device) {
  if (!device.is_cpu()) no_cuda();
}

struct OwnStream::Guard {};
OwnStream::OwnStream(at::Device device) {
  if (!device.is_cpu()) no_cuda();
}
OwnStream::~OwnStream() = default;

struct LaunchGraph::Graph {};
LaunchGraph::LaunchGraph(const std::function<void()>& /*work*/, const LaunchGraph* /*earlier*/) {
  no_cuda();
}
void LaunchGraph::launch() {
  no_cuda();
}

struct LaunchTimer::Events {
  static void start() { no_cuda(); }
  static void stop() { no_cuda(); }
  static std::chrono::nanoseconds take() { no_cuda(); }
};

GpuMemory gpu_memory(at::Device /*device*/) {
  no_cuda();
}

std::string gpu_name(at::Device /*device*/) {
  no_cuda();
}

}  // namespace handgrad

#endif

namespace handgrad {

namespace {

// By the device file of its driver, or as a display controller of NVIDIA's on the PCI bus.
bool has_nvidia_hardware(const std::filesystem::path& root) {
  std::error_code unreadable;
  if (std::filesystem::exists(root / "dev/nvidia0", unreadable)) return true;
  const auto first_word = [](const std::filesystem::path& file) {
    std::string word;
    std::ifstream(file) >> word;
    return word;
  };
  return std::any_of(std::filesystem::directory_iterator(root / "sys/bus/pci/devices", unreadable),
                     std::filesystem::directory_iterator(), [&](const auto& device) {
                       return first_word(device.path() / "vendor") == "0x10de" &&
                              first_word(device.path() / "class").rfind("0x03", 0) == 0;
                     });
}

}  // namespace

bool has_gpu() {
  return built_with_cuda() && at::hasCUDA();
}

std::optional<UnusedGpu> unused_gpu(const std::filesystem::path& root) {
  if (has_gpu() || !has_nvidia_hardware(root)) return std::nullopt;
  if (built_with_cuda()) {
    return UnusedGpu{"an NVIDIA GPU is here, but LibTorch cannot use it",
                     "see what `nvidia-smi` says: the driver is missing, not working, or too old"};
  }
  return UnusedGpu{"an NVIDIA GPU is here, but this LibTorch has no CUDA",
                   "run `scripts/setup.sh --cuda`, then build anew; docs/install.md has other ways"};
}

LaunchTimer::LaunchTimer(at::Device device) : events_(device.is_cpu() ? nullptr : new Events) {}

LaunchTimer::~LaunchTimer() = default;

void LaunchTimer::start() {
  if (events_ == nullptr) {
    started_ = std::chrono::steady_clock::now();
  } else {
    total_ += events_->take();
    events_->start();
  }
}

void LaunchTimer::stop() {
  if (events_ == nullptr) {
    total_ += std::chrono::steady_clock::now() - started_;
  } else {
    events_->stop();
  }
}

std::chrono::nanoseconds LaunchTimer::total() {
  if (events_ != nullptr) total_ += events_->take();
  return total_;
}

LaunchGraph::~LaunchGraph() = default;
LaunchGraph::LaunchGraph(LaunchGraph&& other) noexcept = default;

}  // namespace handgrad
