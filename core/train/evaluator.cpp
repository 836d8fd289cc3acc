// Evaluation, in batches.
#include "handgrad/train/evaluator.h"

#include <algorithm>

#include "handgrad/data/batches.h"
#include "handgrad/data/pixels.h"

namespace handgrad {

Evaluator::Evaluator(Network& network, const Examples& examples)
    : network_(network),
      examples_(examples),
      batch_size_(network.network_options().batch_norm.evaluate_with_running_average
                      ? std::min(evaluation_batch_size, examples.count())
                      : examples.count()) {
  const std::int64_t last_size = batch_size_ == 0 ? 0 : examples.count() % batch_size_;
  const std::int64_t lanes = examples.lanes();
  workspace_.emplace(network, batch_size_, Use::evaluation, lanes);
  if (last_size > 0) last_workspace_.emplace(network, last_size, Use::evaluation, lanes);
  const std::int64_t inputs = examples.pixels.size(1);
  if (lanes == 1) {
    images_ = at::empty({batch_size_, inputs}, network.options());
  } else {
    images_ = at::empty({batch_size_, lanes, inputs}, network.options());
    if (examples.pixels.is_cuda()) pixels_ = at::empty(images_.sizes(), examples.pixels.options());
    targets_ =
        at::empty({batch_size_, network.replicas(), examples.targets.size(1)}, examples.targets.options());
  }
}

std::vector<LossAndAccuracy> Evaluator::evaluate(const EvaluationProgress& progress) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  ProcessGroup* const processes = network_.processes();
  const std::int64_t ranks = size_of(processes);
  const std::int64_t each = (batches() + ranks - 1) / ranks;
  const std::int64_t first = each * rank_of(processes);
  const auto sums = at::TensorOptions(network_.options()).dtype(at::kDouble);
  const Tensor of_batches = at::zeros({ranks * each, 2, network_.replicas()}, sums);
  Tensor loss = at::empty({network_.replicas()}, network_.options());
  for (std::int64_t b = first; b < std::min(first + each, batches()); ++b) {
    pass(b, [&](Workspace& workspace, const Tensor& targets) {
      network_.loss(workspace, targets, loss);
      of_batches[b][0].add_(loss, static_cast<double>(targets.size(0)));
      of_batches[b][1].add_(workspace.logits().argmax(-1).eq(targets.argmax(-1)).sum(0));
      if (progress) progress(targets.size(0));
    });
  }
  if (processes != nullptr) {
    std::vector<Tensor> of_ranks = of_batches.chunk(ranks);
    processes->all_gather(of_ranks);
  }
  const Tensor both_sums = at::zeros({2, network_.replicas()}, sums);
  for (std::int64_t b = 0; b < batches(); ++b) both_sums.add_(of_batches[b]);
  // All at once: each copy from a GPU waits for it.
  const Tensor means = both_sums.div(static_cast<double>(examples_.count())).to(at::kCPU);
  const auto mean = means.accessor<double, 2>();
  std::vector<LossAndAccuracy> results;
  for (std::int64_t r = 0; r < network_.replicas(); ++r) results.push_back({mean[0][r], mean[1][r]});
  return results;
}

std::int64_t Evaluator::batches() const {
  return (examples_.count() + batch_size_ - 1) / std::max<std::int64_t>(batch_size_, 1);
}

void Evaluator::pass(const Look& look) {
  for (std::int64_t b = 0; b < batches(); ++b) pass(b, look);
}

void Evaluator::pass(std::int64_t batch, const Look& look) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const std::int64_t count = examples_.count();
  const std::int64_t begin = batch * batch_size_;
  const std::int64_t size = std::min(batch_size_, count - begin);
  Workspace& workspace = size == batch_size_ ? *workspace_ : *last_workspace_;
  const Examples part = examples_.part(begin, size);
  const bool has_lanes = examples_.lanes() > 1;
  const Tensor chosen = has_lanes ? part.rows.t().contiguous() : Tensor();
  Tensor images = images_.narrow(0, 0, size);
  if (!images_are_whole_set_) {
    if (has_lanes) {
      gather_images(images, pixels_, part, chosen);
    } else {
      scale_pixels(images, part.pixels);
    }
    standardise(images, part.standardisation);
  }
  Tensor targets = has_lanes ? targets_.narrow(0, 0, size) : part.targets.unsqueeze(1);
  if (has_lanes) gather_targets(targets, part, chosen);
  images_are_whole_set_ = size == count;
  network_.forward(workspace, images, Use::evaluation);
  look(workspace, targets);
}

std::vector<LossAndAccuracy> evaluate(Network& network, const Examples& examples,
                                      const EvaluationProgress& progress) {
  return Evaluator(network, examples).evaluate(progress);
}

}  // namespace handgrad
