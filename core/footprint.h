// How much memory a training takes, said before it is taken.
#pragma once

#include <cstdint>

#include "dataset.h"
#include "network.h"
#include "training_options.h"

namespace handgrad {

// A training, as far as its memory goes.
struct TrainingShape {
  Architecture architecture;
  Compat compat;
  TrainingOptions options;  // the optimizer, the batch size, whether networks differ in λ or learning rate
  SplitIndices images;      // how many there are in each set
  std::int64_t replicas = 1;
  std::int64_t lanes = 1;  // Examples: a divisor of the replicas
};

// The most bytes that the tensors of a training in float32 hold together, its data included; at least what
// they do, and at most a quarter more.
std::int64_t training_bytes(const TrainingShape& shape);

// How many networks of that shape fit into so many bytes, in as many lanes as the shape has, or with
// `lane_each` in lanes of shape.replicas / shape.lanes networks. May be 0.
std::int64_t replicas_that_fit(TrainingShape shape, std::int64_t bytes, bool lane_each = false);

// What of a GPU's memory is left to tensors: libraries, graphs and the allocator's rounding need some.
std::int64_t usable_bytes(std::int64_t free_bytes);

// Throws DeviceError, naming the number of networks that would fit, where a training needs more memory than a
// GPU has free.
void require_memory(const TrainingShape& shape, std::int64_t free_bytes);

}  // namespace handgrad
