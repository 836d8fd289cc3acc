// What the settings of a training run may be.
#include "handgrad/train/training_options.h"

#include <fmt/format.h>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/data/batches.h"
#include "handgrad/train/settings.h"

namespace handgrad {

namespace {

void require(bool good, const std::string& message) {
  if (!good) throw ArgumentError(message);
}

bool normalises(const TrainingOptions& options, const Architecture& architecture) {
  return architecture.has_batch_norm() && options.epochs > 0;
}

bool warmup_fits(const TrainingOptions& options, std::int64_t steps_per_epoch) {
  const std::optional<Interval>& warmup = options.schedule.warmup;
  return !warmup || options.epochs == 0 || warmup->steps(steps_per_epoch) <= options.epochs * steps_per_epoch;
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
  Settings settings;
  settings.training = options;
  for (const Setting& setting : settings_table()) {
    if (setting.is_allowed(settings)) continue;
    throw ArgumentError(setting.name.c_str(),
                        fmt::format("got {}; must be {}", setting.text(settings), setting.allowed));
  }
  if (normalises(options, architecture) && options.batch_size == 1) {
    throw ArgumentError("batch_size", "got 1; must be at least 2 with batch norm");
  }
  const std::optional<Interval>& warmup = options.schedule.warmup;
  if (warmup && warmup->unit == Interval::Unit::epochs && !warmup_fits(options, 1)) {
    throw ArgumentError("warmup", fmt::format("got {}, but training ends after {}; must be at most that long",
                                              to_string(*warmup), counted(options.epochs, "epoch")));
  }
}

void validate(const TrainingOptions& options, const Architecture& architecture, std::int64_t replica_count,
              std::int64_t train_images, const NetworkOptions& network_options) {
  validate(options, architecture, replica_count);
  if (options.batch_size > train_images) {
    throw DataError("batch_size", fmt::format("got {}, but the training set has only {}; choose at most that",
                                              options.batch_size, counted(train_images, "image")));
  }
  const std::int64_t last = train_images % options.batch_size;
  const std::int64_t parts = network_options.normalises_shards() ? network_options.shards : 1;
  if (normalises(options, architecture) && last > 0 && last < 2 * parts) {
    throw DataError(
        "batch_size",
        fmt::format(
            "{} leaves a batch of {} out of {}, which batch norm cannot normalise{}; choose another size",
            options.batch_size, last == 1 ? "a single image" : fmt::format("{} images", last), train_images,
            parts == 1 ? "" : fmt::format(" in {} shards", parts)));
  }
  const std::int64_t steps_per_epoch = batches_per_epoch(train_images, options.batch_size);
  if (!warmup_fits(options, steps_per_epoch)) {
    throw DataError("warmup",
                    fmt::format("got {}, but training ends after {} steps; must be at most that",
                                to_string(*options.schedule.warmup), options.epochs * steps_per_epoch));
  }
}

}  // namespace handgrad
