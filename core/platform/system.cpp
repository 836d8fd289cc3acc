// What the library runs on.
#include "handgrad/platform/system.h"

#include <fmt/format.h>
#include <torch/version.h>

#include <algorithm>
#include <fstream>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/platform/resources.h"

namespace handgrad {

std::string version() {
  return HANDGRAD_VERSION;
}

std::string libtorch_version() {
  return TORCH_VERSION;
}

at::Device choose_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  const bool available = has_gpu();
  if (name == "auto") return available ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  const std::string digits = name.rfind("cuda:", 0) == 0 ? name.substr(5) : "0";
  const bool is_index =
      !digits.empty() && digits.size() <= 3 &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if ((name != "cuda" && name.rfind("cuda:", 0) != 0) || !is_index) {
    throw ArgumentError("device", fmt::format("got {}; must be auto, cpu, cuda or cuda:INDEX", name));
  }
  if (!available) {
    throw DeviceError(
        "device",
        fmt::format("{} is not there: {}; use cpu or auto", name,
                    built_with_cuda() ? fmt::format("LibTorch {} found no CUDA GPU", libtorch_version())
                                      : fmt::format("this handgrad was built with a LibTorch {} without CUDA",
                                                    libtorch_version())));
  }
  const int index = std::stoi(digits);
  const int count = static_cast<int>(at::getNumGPUs());
  if (index >= count) {
    throw DeviceError("device",
                      fmt::format("{} is not there; this machine has {}, {}", name, counted(count, "GPU"),
                                  count == 1 ? "cuda:0" : fmt::format("cuda:0 to cuda:{}", count - 1)));
  }
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

void allow_tf32(bool allow) {
  at::globalContext().setAllowTF32CuBLAS(allow);
}

std::string processor_name(at::Device device) {
  if (!device.is_cpu()) return gpu_name(device);
  std::string name = "unknown processor";
  std::ifstream description("/proc/cpuinfo");
  for (std::string line; std::getline(description, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) {
      name = line.substr(line.find(": ") + 2);
      break;
    }
  }
  return fmt::format("{}, {} cores", name, available_cores());
}

}  // namespace handgrad
