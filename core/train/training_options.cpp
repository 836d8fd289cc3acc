// What the settings of a training run may be.
#include "handgrad/train/training_options.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"

namespace handgrad {

namespace {

void require(bool good, const std::string& message) {
  if (!good) throw ArgumentError(message);
}

bool normalises(const TrainingOptions& options, const Architecture& architecture) {
  return architecture.batch_norm && !architecture.hidden.empty() && options.epochs > 0;
}

}  // namespace

void validate(const TrainingOptions& options, const Architecture& architecture, std::int64_t replica_count) {
  validate(architecture, replica_count);
  const auto replicas = static_cast<std::size_t>(replica_count);
  require(options.seeds.size() == replicas,
          fmt::format("{} for {}; each network needs its own", counted(options.seeds.size(), "seed"),
                      counted(replicas, "network")));
  for (const auto* values : {&options.learning_rate, &options.l2}) {
    require(values->size() == 1 || values->size() == replicas,
            fmt::format("{} for {}; give one for all or one each", counted(values->size(), "value"),
                        counted(replicas, "network")));
  }
  require(!options.data_seeds.empty() && replicas % options.data_seeds.size() == 0,
          fmt::format("{} cannot share {} equally; give a data seed for each network, "
                      "or one for all",
                      counted(replicas, "network"), counted(options.data_seeds.size(), "batch order")));
  const auto require_range = [](const char* name, double value, double least, double most) {
    if (value >= least && value <= most) return;
    throw ArgumentError(name, fmt::format("got {}; must be from {} to {}", value, least, most));
  };
  for (const double rate : options.learning_rate) {
    require_range("learning_rate", rate, std::numeric_limits<float>::min(), largest_factor);
  }
  for (const double l2 : options.l2) require_range("l2", l2, 0, largest_factor);
  require_range("weight_decay", options.optimizer.weight_decay, 0, largest_factor);
  require_range("momentum", options.optimizer.momentum, 0, 1);
  require_range("beta1", options.optimizer.beta1, 0, std::nextafter(1.0, 0.0));
  require_range("beta2", options.optimizer.beta2, 0, std::nextafter(1.0, 0.0));
  require_range("adam_eps", options.optimizer.eps, std::numeric_limits<float>::min(), 1);
  require_range("min_delta", options.min_delta, 0, largest_factor);
  const auto require_count = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value >= least && value <= largest_count) return;
    throw ArgumentError(name, fmt::format("got {}; must be from {} to {}", value, least, largest_count));
  };
  require_count("batch_size", options.batch_size, 1);
  require_count("epochs", options.epochs, 0);
  if (options.patience) require_count("patience", *options.patience, 1);
  require_count("evaluate_every", options.evaluate_every.count, 1);
  if (normalises(options, architecture) && options.batch_size == 1) {
    throw ArgumentError("batch_size", "got 1; must be at least 2 with batch norm");
  }
}

void validate(const TrainingOptions& options, const Architecture& architecture, std::int64_t replica_count,
              std::int64_t train_images) {
  validate(options, architecture, replica_count);
  if (options.batch_size > train_images) {
    throw DataError("batch_size", fmt::format("got {}, but the training set has only {}; choose at most that",
                                              options.batch_size, counted(train_images, "image")));
  }
  if (normalises(options, architecture) && train_images % options.batch_size == 1) {
    throw DataError("batch_size",
                    fmt::format("{} leaves a batch of a single image out of {}, which batch norm cannot "
                                "normalise; choose another size",
                                options.batch_size, train_images));
  }
}

}  // namespace handgrad
