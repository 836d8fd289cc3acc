// Batch norm's statistics of a whole set.
#include "handgrad/train/population_statistics.h"

#include "handgrad/train/evaluator.h"

namespace handgrad {

void reestimate_statistics(Network& network, const Examples& examples) {
  Evaluator evaluator(network, examples);
  const auto n = static_cast<double>(examples.count());
  for (std::size_t l = 0; l < network.running.mean.size(); ++l) {
    const auto doubles = at::TensorOptions(network.options()).dtype(at::kDouble);
    const Tensor sum = at::zeros(network.running.mean[l].sizes(), doubles);
    const Tensor squares = at::zeros_like(sum);
    evaluator.pass([&](const Workspace& workspace, const Tensor& /*targets*/) {
      const Tensor x = workspace.linear_output(static_cast<std::int64_t>(l)).to(at::kDouble);
      sum.add_(x.sum(0));
      squares.add_(x.square().sum(0));
    });
    const Tensor mean = sum / n;
    network.running.mean[l].copy_(mean);
    network.running.var[l].copy_((squares / n - mean.square()).clamp_min_(0) * (n / (n - 1)));
  }
}

}  // namespace handgrad
