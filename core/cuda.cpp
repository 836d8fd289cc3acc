// Streams and graphs of a GPU.
#include "cuda.h"

#include <utility>

#include "errors.h"

#ifdef HANDGRAD_CUDA

#include <ATen/cuda/CUDAContext.h>
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

LaunchGraph::LaunchGraph(const std::function<void()>& work) : graph_(std::make_unique<Graph>()) {
  graph_->launches.capture_begin();
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
  throw DeviceError("device: this handgrad was built with a LibTorch without CUDA; use cpu");
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
LaunchGraph::LaunchGraph(const std::function<void()>& /*work*/) {
  no_cuda();
}
void LaunchGraph::launch() {
  no_cuda();
}

GpuMemory gpu_memory(at::Device /*device*/) {
  no_cuda();
}

std::string gpu_name(at::Device /*device*/) {
  no_cuda();
}

}  // namespace handgrad

#endif

namespace handgrad {

bool has_gpu() {
  return built_with_cuda() && at::hasCUDA();
}

LaunchGraph::~LaunchGraph() = default;
LaunchGraph::LaunchGraph(LaunchGraph&& other) noexcept = default;

}  // namespace handgrad
