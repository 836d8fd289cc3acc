// How much memory a training takes, said before it is taken.
#pragma once

#include <cstdint>
#include <string>

#include "handgrad/data/dataset.h"
#include "handgrad/nn/network.h"
#include "handgrad/train/training_options.h"

namespace handgrad {

// A training, as far as its memory goes.
struct TrainingShape {
  Architecture architecture;
  NetworkOptions network;
  TrainingOptions options;  // the optimizer, the batch size, whether networks differ in λ or learning rate
  SplitIndices images;      // how many there are in each set
  std::int64_t replicas = 1;
  std::int64_t lanes = 1;    // Examples: a divisor of the replicas
  bool checkpoints = false;  // whether they are put together in the same memory, as on a CPU
  bool on_gpu = false;       // where to augment images takes tensors
};

// The most bytes that the tensors of a training in float32 hold together, its data included; at least what
// they do, and at most a quarter more.
std::int64_t training_bytes(const TrainingShape& shape);

// How many networks of that shape fit into so many bytes, in as many lanes as the shape has, or with
// `lane_each` in lanes of shape.replicas / shape.lanes networks. May be 0.
std::int64_t replicas_that_fit(TrainingShape shape, std::int64_t bytes, bool lane_each = false);

// Bytes that are free on a device: of a GPU, or of what this process may use of the machine.
std::int64_t free_memory(at::Device device);

// What of so many free bytes is left to tensors: the allocator's rounding needs some, and on a GPU the
// libraries and graphs that are loaded later.
std::int64_t usable_bytes(std::int64_t free_bytes, at::Device device);

// "1.5 GiB".
std::string gibibytes(std::int64_t bytes);

// Throws DeviceError, naming the number of networks that would fit, where a training needs more memory than
// its device has free. `trainings`: how many of that shape run at a time.
void require_memory(const TrainingShape& shape, at::Device device, std::int64_t free_bytes,
                    std::int64_t trainings = 1);

}  // namespace handgrad
