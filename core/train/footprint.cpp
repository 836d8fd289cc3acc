// The memory of a training, counted as Training, Stepper, Batches, Workspace and Evaluator allocate it.
#include "handgrad/train/footprint.h"

#include <fmt/format.h>

#include <algorithm>

#include "handgrad/base/errors.h"
#include "handgrad/data/batches.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/platform/resources.h"
#include "handgrad/train/evaluator.h"

namespace handgrad {

namespace {

constexpr std::int64_t number = 4;  // bytes of a float
constexpr std::int64_t index = 8;   // bytes of an int64

// Floats for each pixel of a block while Augmenter::augment_by_operations works on it.
constexpr std::int64_t augmenting = 7;

// How many sums of a batch there are besides the whole.
std::int64_t several_shards(const TrainingShape& shape) {
  return shape.network.shards > 1 ? shape.network.shards : 0;
}

// How often a training batch has each of batch norm's statistics: mean, variance, the factors of both, the inverse of
// the deviation; and the sums of shards.
std::int64_t of_batch_norm(const TrainingShape& shape) {
  return shape.network.normalises_shards() ? 5 * shape.network.shards : 5 + several_shards(shape);
}

std::int64_t count_of(const std::vector<std::int64_t>& set) {
  return static_cast<std::int64_t>(set.size());
}

bool differ(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [&](double value) { return value != values.front(); });
}

// Numbers of one network, and what goes through it for each image.
struct NetworkSize {
  explicit NetworkSize(const Architecture& architecture) : classes(architecture.classes) {
    parameters = architecture.parameter_count();
    for (const LayerSpec& layer : architecture.layers()) {
      switch (layer.kind) {
        case LayerSpec::Kind::linear:
          weights += layer.inputs * layer.outputs;
          largest_weight = std::max(largest_weight, layer.inputs * layer.outputs);
          units += layer.outputs;
          break;
        case LayerSpec::Kind::activation:  // in place
          break;
        case LayerSpec::Kind::batch_norm:
          normalised += layer.outputs;
          break;
      }
    }
  }

  std::int64_t classes, parameters = 0, weights = 0, largest_weight = 0, units = 0;
  std::int64_t normalised = 0;  // units

  std::int64_t training_pass(const DropoutOptions& dropout) const {
    const std::int64_t dropped = dropout.hidden > 0 ? 2 * (units - classes) : 0;  // outputs and masks
    return 2 * units + 3 * normalised + classes + dropped;
  }
  std::int64_t evaluation_pass(bool batch_statistics) const {
    return units + (batch_statistics ? 2 : 1) * normalised + classes;
  }
  // Of the loss of an image, which goes through two arrays, and then of the accuracy.
  std::int64_t measurement() const { return std::max<std::int64_t>(2 * classes, 6); }
};

std::int64_t optimizer_buffers(OptimizerOptions::Kind kind) {
  switch (kind) {
    case OptimizerOptions::Kind::sgd:
      return 0;
    case OptimizerOptions::Kind::momentum:
    case OptimizerOptions::Kind::nesterov:
      return 1;
    case OptimizerOptions::Kind::adam:
    case OptimizerOptions::Kind::adamw:
      return 2;
  }
  return 0;
}

// What is kept of a network from step to step, and while results are reported that are not the last.
std::int64_t kept_numbers(const TrainingShape& shape, const NetworkSize& size) {
  const std::int64_t running = 2 * size.normalised;
  const std::int64_t shards = several_shards(shape) * size.parameters;
  const std::int64_t buffers = optimizer_buffers(shape.options.optimizer.kind) * size.parameters;
  const std::int64_t current = 2 * size.parameters + running + buffers;
  const std::int64_t best = size.parameters + running;
  const std::int64_t to_go_back_to = size.parameters + running + buffers;
  const std::int64_t denominators = buffers > size.parameters ? size.parameters : 0;
  const std::int64_t rates = differ(shape.options.learning_rate) ? size.parameters : 0;
  const std::int64_t penalties = differ(shape.options.l2) ? size.weights : 0;
  const std::int64_t put_aside = shape.options.report_epochs.empty() ? 0 : size.parameters + running;
  // The average, and what it is exchanged by; the statistics that may come back.
  const std::int64_t average = shape.options.ema > 0 ? 2 * (size.parameters + running) : 0;
  const std::int64_t reestimated = shape.options.reestimate_batch_norm ? 3 * running : 0;
  const std::int64_t file = shape.checkpoints ? current + best + to_go_back_to - size.parameters : 0;
  return current + best + to_go_back_to + denominators + rates + penalties + put_aside + average +
         reestimated + shards + file;
}

}  // namespace

std::int64_t training_bytes(const TrainingShape& shape) {
  const NetworkSize size(shape.architecture);
  const std::int64_t inputs = shape.architecture.inputs;
  const bool one_lane = shape.lanes == 1;
  const std::int64_t train = count_of(shape.images.train);
  const std::int64_t validation = count_of(shape.images.validation);
  const std::int64_t test = count_of(shape.images.test);
  const std::int64_t split_off_last = count_of(shape.images.watched);
  const std::int64_t images = train + split_off_last + validation + test;

  const bool augmented = shape.options.augment.options().any();
  const std::int64_t bytes = shape.on_gpu ? inputs : 0;  // of an image that is gathered
  const std::int64_t image = inputs * number + (augmented ? 0 : bytes);
  const std::int64_t smooth_targets = shape.options.label_smoothing > 0 ? images * size.classes * number : 0;
  const std::int64_t data = images * (inputs + size.classes * number) + smooth_targets;
  const std::int64_t rows = (one_lane ? 0 : shape.lanes * images * index) + 2 * shape.lanes * train * index;

  const std::int64_t batch = shape.options.batch_size;
  const std::int64_t in_block = std::min(train, std::max(most_images_ahead / shape.lanes, batch));
  const std::int64_t targets_of_image = size.classes * number * (one_lane ? 1 : shape.replicas);
  const std::int64_t while_augmented = augmented && shape.on_gpu ? augmenting * inputs * number : 0;
  const std::int64_t dropped_inputs =
      shape.network.dropout.input > 0 ? (batch + train % batch) * shape.lanes * 3 * inputs * number : 0;
  const std::int64_t batches =
      dropped_inputs + in_block * (shape.lanes * (image + while_augmented) + 2 * targets_of_image);

  const bool batch_statistics = !shape.network.batch_norm.evaluate_with_running_average;
  const auto evaluation_batch = [&](std::int64_t set) {
    return batch_statistics ? set : std::min(evaluation_batch_size, set);
  };
  // The set that is watched has its memory all the time, every other one in turn.
  const auto evaluation = [&](std::int64_t set) {
    const std::int64_t whole = evaluation_batch(set);
    const std::int64_t last = whole == 0 ? 0 : set % whole;
    const std::int64_t passes =
        (whole + last) * shape.replicas * size.evaluation_pass(batch_statistics) * number;
    const std::int64_t pixels = whole * shape.lanes * (inputs * number + (one_lane ? 0 : bytes));
    const std::int64_t targets = one_lane ? 0 : whole * (targets_of_image + shape.replicas * index);
    return passes + pixels + targets;
  };
  const std::int64_t watching = evaluation(split_off_last > 0 ? split_off_last : validation);
  // One after the other: the evaluations of other sets, the squares that the penalty sums.
  const auto measurement = [&](std::int64_t set) {
    return evaluation(set) + evaluation_batch(set) * shape.replicas * size.measurement() * number;
  };
  const std::int64_t measuring = std::max({measurement(train + split_off_last), measurement(validation),
                                           measurement(test), shape.replicas * size.largest_weight * number});

  const std::int64_t last = train % batch;
  const std::int64_t of_networks = kept_numbers(shape, size) +
                                   (batch + last) * size.training_pass(shape.network.dropout) +
                                   2 * of_batch_norm(shape) * size.normalised;
  const std::int64_t in_training =
      data + rows + batches + watching + measuring + shape.replicas * of_networks * number;
  return std::max(in_training, 2 * data + rows);  // images are copied to the sets that they are split into
}

std::int64_t replicas_that_fit(TrainingShape shape, std::int64_t bytes, bool lane_each) {
  const std::int64_t together = lane_each ? shape.replicas / shape.lanes : 1;
  const auto fits = [&](std::int64_t count) {
    shape.replicas = count * together;
    if (lane_each) shape.lanes = count;
    return training_bytes(shape) <= bytes;
  };
  std::int64_t most = 0;
  std::int64_t too_many = 1;
  while (fits(too_many)) {
    most = too_many;
    too_many *= 2;
  }
  while (too_many - most > 1) {
    const std::int64_t middle = most + (too_many - most) / 2;
    (fits(middle) ? most : too_many) = middle;
  }
  return most * together;
}

std::int64_t free_memory(at::Device device) {
  return device.is_cpu() ? available_memory() : gpu_memory(device).free;
}

std::int64_t usable_bytes(std::int64_t free_bytes, at::Device device) {
  const std::int64_t for_libraries = device.is_cpu() ? 0 : std::int64_t{1} << 29;
  return std::max<std::int64_t>(0, free_bytes / 20 * 19 - for_libraries);
}

std::string gibibytes(std::int64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
}

void require_memory(const TrainingShape& shape, at::Device device, std::int64_t free_bytes,
                    std::int64_t trainings) {
  const std::int64_t needed = training_bytes(shape);
  const std::int64_t usable = usable_bytes(free_bytes, device);
  if (needed <= usable / trainings) return;
  const std::string networks =
      shape.replicas == 1 ? "a network needs" : fmt::format("{} networks need", shape.replicas);
  const std::string memory = device.is_cpu() ? fmt::format("{} of memory are free", gibibytes(free_bytes))
                                             : fmt::format("the GPU has {} free", gibibytes(free_bytes));
  const std::string none_fits = "not even one would fit: choose smaller batches or narrower hidden layers";
  if (trainings > 1) {
    const std::int64_t fitting = usable / needed;
    throw DeviceError(
        "threads",
        fmt::format("{} trainings at a time need {} each, but {}; {}", trainings, gibibytes(needed), memory,
                    fitting > 0 ? fmt::format("{} at a time would fit", fitting) : none_fits));
  }
  const std::int64_t fitting = shape.replicas == 1 ? 0 : replicas_that_fit(shape, usable);
  throw DeviceError(shape.replicas == 1 ? "hidden" : "replicas",
                    fmt::format("{} {}, but {}; {}", networks, gibibytes(needed), memory,
                                fitting > 0 ? fmt::format("{} would fit", fitting) : none_fits));
}

}  // namespace handgrad
