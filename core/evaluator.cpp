// Evaluation, in batches.
#include "evaluator.h"

#include <algorithm>

namespace handgrad {

namespace {

// Shares of the sums over the set.
std::vector<double> means(const Tensor& sums, std::int64_t count) {
  const Tensor values = sums.div(static_cast<double>(count)).to(at::kCPU).contiguous();
  const double* first = values.data_ptr<double>();
  return {first, first + values.numel()};
}

}  // namespace

Evaluator::Evaluator(Network& network, const Examples& examples)
    : network_(network),
      examples_(examples),
      batch_size_(network.compat().bn_batch_stats ? examples.count()
                                                  : std::min(evaluation_batch_size, examples.count())) {
  const std::int64_t last_size = batch_size_ == 0 ? 0 : examples.count() % batch_size_;
  workspace_.emplace(network, batch_size_, Workspace::Use::evaluation);
  if (last_size > 0) last_workspace_.emplace(network, last_size, Workspace::Use::evaluation);
  images_ = at::empty({batch_size_, examples.pixels.size(1)}, network.options());
}

std::vector<LossAndAccuracy> Evaluator::evaluate() {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const std::int64_t count = examples_.count();
  const auto sums = at::TensorOptions(network_.options()).dtype(at::kDouble);
  Tensor loss_sum = at::zeros({network_.replicas()}, sums);
  Tensor right_sum = at::zeros({network_.replicas()}, sums);
  Tensor loss = at::empty({network_.replicas()}, network_.options());
  for (std::int64_t begin = 0; begin < count; begin += batch_size_) {
    const std::int64_t size = std::min(batch_size_, count - begin);
    Workspace& workspace = size == batch_size_ ? *workspace_ : *last_workspace_;
    Tensor images = images_.narrow(0, 0, size);
    if (!images_are_whole_set_) scale_pixels(images, examples_.pixels.narrow(0, begin, size));
    images_are_whole_set_ = size == count;
    const Tensor targets = examples_.targets.narrow(0, begin, size).unsqueeze(1);
    network_.forward(workspace, images, Workspace::Use::evaluation);
    network_.loss(workspace, targets, loss);
    loss_sum.add_(loss, static_cast<double>(size));
    right_sum.add_(workspace.logits().argmax(-1).eq(targets.argmax(-1)).sum(0));
  }
  const std::vector<double> losses = means(loss_sum, count);
  const std::vector<double> accuracies = means(right_sum, count);
  std::vector<LossAndAccuracy> results;
  for (std::size_t r = 0; r < losses.size(); ++r) results.push_back({losses[r], accuracies[r]});
  return results;
}

std::vector<LossAndAccuracy> evaluate(Network& network, const Examples& examples) {
  return Evaluator(network, examples).evaluate();
}

}  // namespace handgrad
