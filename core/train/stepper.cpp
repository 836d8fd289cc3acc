// Steps of training.
#include "handgrad/train/stepper.h"

namespace handgrad {

namespace {

std::vector<double> one_each(std::vector<double> values, std::int64_t replicas) {
  values.resize(static_cast<std::size_t>(replicas), values.front());
  return values;
}

RateSchedule schedule_of(const TrainingOptions& options, std::int64_t images) {
  const std::int64_t steps_per_epoch = batches_per_epoch(images, options.batch_size);
  return {options.schedule, steps_per_epoch, options.epochs * steps_per_epoch};
}

// As the learning rate falls from 1 to its final share, the bounds of augmentation fall from 1 to theirs.
AugmentStrength strength_of(const TrainingOptions& options, const RateSchedule& schedule) {
  if (options.augment_final == 1) return {};
  return [schedule, last = options.augment_final](std::int64_t epoch) {
    return last + (1 - last) * schedule.fall(epoch);
  };
}

BatchShare share_of(const Network& network) {
  const ProcessGroup* processes = network.processes();
  if (processes == nullptr) return {};
  return {processes->rank(), processes->size()};
}

Examples with_smooth_labels(const Examples& examples, double smoothing) {
  Examples smooth = examples;
  if (smoothing == 0) return smooth;
  smooth.targets = examples.targets.clone();
  smooth_labels(smooth.targets, smoothing);
  return smooth;
}

}  // namespace

Stepper::Stepper(Network& network, const Examples& examples, const TrainingOptions& options)
    : network_(network),
      seeds_(options.seeds),
      data_seeds_(options.data_seeds),
      clip_(options.clip),
      gradients_(network.gradients.views()),
      learning_rate_(one_each(options.learning_rate, network.replicas())),
      l2_(one_each(options.l2, network.replicas()), network.parameters),
      schedule_(schedule_of(options, examples.count())),
      examples_(with_smooth_labels(examples, options.label_smoothing)),
      batches_(examples_, network.replicas(), options.batch_size, options.data_seeds, options.reshuffle,
               options.prefetch, options.augment.options(), strength_of(options, schedule_),
               share_of(network)),
      optimizer_(options.optimizer, network.parameters, network.gradients, learning_rate_,
                 !schedule_.is_constant()),
      workspace_(network, options.batch_size, Use::training, examples.lanes()),
      // Other processes are waited for within a step, which no recording can do.
      records_(options.cuda_graph && examples.pixels.is_cuda() && network.processes() == nullptr) {
  if (batches_.last_size() != options.batch_size) {
    last_workspace_.emplace(network, batches_.last_size(), Use::training, examples.lanes());
  }
}

Workspace& Stepper::prepare(std::int64_t step) {
  const bool ragged = last_workspace_ && (step + 1) % batches_.per_epoch() == 0;
  Workspace& workspace = ragged ? *last_workspace_ : workspace_;
  optimizer_.set_rate(schedule_.factor(step));
  workspace.draw_dropout(seeds_, data_seeds_, step);
  return workspace;
}

const Workspace& Stepper::differentiate(std::int64_t step, Tensor* loss) {
  Workspace& workspace = prepare(step);
  const Batch& batch = batches_.at(step);
  network_.forward_backward(workspace, batch.images, batch.targets, l2_, loss);
  return workspace;
}

void Stepper::update() {
  if (clip_) clip_gradient_norm(gradients_, *clip_);
  optimizer_.step();
}

std::vector<double> Stepper::learning_rate(std::int64_t step) const {
  std::vector<double> rates = learning_rate_;
  for (double& rate : rates) rate *= schedule_.factor(step);
  return rates;
}

void Stepper::advance(std::int64_t step) {
  Workspace& workspace = prepare(step);
  const Batch& batch = batches_.at(step);
  const auto work = [&] {
    if (clip_) {  // by the norm of all gradients
      network_.forward_backward(workspace, batch.images, batch.targets, l2_);
      return update();
    }
    network_.forward_backward(workspace, batch.images, batch.targets);
    optimizer_.step([&](std::size_t range) { network_.add_penalty(range, l2_, workspace.batch_size()); });
  };
  if (!records_) return work();
  Place& place = places_[&batch];
  if (!place.has_run) {
    work();
    place.has_run = true;
    return;
  }
  if (place.graph) {
    optimizer_.count_step();
  } else {
    place.graph.emplace(work, first_graph_);  // counts the step, and takes it only when it is launched
    if (first_graph_ == nullptr) first_graph_ = &*place.graph;
  }
  place.graph->launch();
}

}  // namespace handgrad
