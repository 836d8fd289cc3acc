// What the settings of a training run may be.
#include "training_options.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "errors.h"

namespace handgrad {

namespace {

void require(bool good, const std::string& message) {
  if (!good) throw ArgumentError(message);
}

}  // namespace

void validate(const TrainingOptions& options, const Architecture& architecture, std::int64_t replica_count,
              std::int64_t train_images) {
  validate(architecture, replica_count);
  const auto replicas = static_cast<std::size_t>(replica_count);
  require(
      options.seeds.size() == replicas,
      fmt::format("{} seeds for {} networks; each network needs its own", options.seeds.size(), replicas));
  for (const auto* values : {&options.learning_rate, &options.l2}) {
    require(values->size() == 1 || values->size() == replicas,
            fmt::format("{} values for {} networks; give one for all or one each", values->size(), replicas));
  }
  require(!options.data_seeds.empty() && replicas % options.data_seeds.size() == 0,
          fmt::format("{} networks cannot share {} batch orders equally; give a data seed for each network, "
                      "or one for all",
                      replicas, options.data_seeds.size()));
  const auto require_range = [](const char* name, double value, double least, double most) {
    require(value >= least && value <= most,
            fmt::format("{}: got {}; must be from {} to {}", name, value, least, most));
  };
  for (const double rate : options.learning_rate) {
    require_range("learning rate", rate, std::numeric_limits<float>::min(), largest_factor);
  }
  for (const double l2 : options.l2) require_range("L2 penalty", l2, 0, largest_factor);
  require_range("weight decay", options.optimizer.weight_decay, 0, largest_factor);
  require_range("momentum", options.optimizer.momentum, 0, 1);
  require_range("beta1", options.optimizer.beta1, 0, std::nextafter(1.0, 0.0));
  require_range("beta2", options.optimizer.beta2, 0, std::nextafter(1.0, 0.0));
  require_range("Adam's eps", options.optimizer.eps, std::numeric_limits<float>::min(), 1);
  require_range("min delta", options.min_delta, 0, largest_factor);
  const auto require_count = [](const char* name, std::int64_t value, std::int64_t least) {
    require(value >= least && value <= largest_count,
            fmt::format("{}: got {}; must be from {} to {}", name, value, least, largest_count));
  };
  require_count("batch size", options.batch_size, 1);
  require_count("epochs", options.epochs, 0);
  require_count("patience", options.patience, 1);
  require_count("evaluation interval", options.evaluate_every.count, 1);

  if (options.batch_size > train_images) {
    throw DataError(
        fmt::format("batch size: got {}, but only {} images are there to train on; choose at most that",
                    options.batch_size, train_images));
  }
  const bool single = options.batch_size == 1 || train_images % options.batch_size == 1;
  if (architecture.batch_norm && !architecture.hidden.empty() && options.epochs > 0 && single) {
    throw DataError(
        fmt::format("batch size: {} leaves a batch of a single image out of {}, which batch norm cannot "
                    "normalise; choose another size",
                    options.batch_size, train_images));
  }
}

}  // namespace handgrad
