// R equal networks side by side: forward and backward.
#include "handgrad/nn/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/nn/init.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

// −(1/N) Σ_n log p of the right class, p clamped as the described notebook does.
void clamped_cross_entropy(Tensor& loss, const Tensor& probabilities, const Tensor& targets,
                           const BatchSum& sum) {
  constexpr double least = 1e-15;
  const Tensor picked = (probabilities * targets).sum(-1).clamp(least, 1 - least);
  sum(loss, picked.log(), -1.0 / static_cast<double>(sum.batch_size(picked)));
}

bool all_finite(const Tensor& tensor) {
  return at::isfinite(tensor).all().item<bool>();
}

}  // namespace

double largest_layer_flops(const Architecture& architecture, std::int64_t replicas, std::int64_t batch_size) {
  double largest = 0;
  for (std::int64_t l = 0; l < architecture.linear_layers(); ++l) {
    const auto weights = static_cast<double>(replicas * architecture.fan_in(l) * architecture.fan_out(l));
    largest = std::max(largest, 2 * static_cast<double>(batch_size) * weights);
  }
  return largest;
}

L2::L2(std::vector<double> values, const Parameters& parameters) : per_replica(std::move(values)) {
  const auto differs = [&](double value) { return value != per_replica.front(); };
  if (std::any_of(per_replica.begin(), per_replica.end(), differs)) {
    spread_over_weights = in_ranges(spread(per_replica, parameters.weight));
  }
}

ShardGradients::ShardGradients(const Architecture& architecture, std::int64_t replicas,
                               const at::TensorOptions& options, const NetworkOptions& network_options) {
  const std::int64_t shards = network_options.shards;
  if (shards <= 1) return;
  const Tensor rows = at::zeros({shards, replicas * architecture.parameter_count()}, options);
  for (std::int64_t v = 0; v < shards; ++v) of.emplace_back(architecture, replicas, rows[v]);
  const std::int64_t weights_and_biases =
      replicas * (architecture.weight_count() + architecture.unit_count());
  all = network_options.normalises_shards() ? rows : rows.narrow(1, 0, weights_and_biases);
}

Network::Network(const Architecture& architecture, std::int64_t replicas, const at::TensorOptions& options,
                 const NetworkOptions& network_options, ProcessGroup* processes)
    : architecture_((validate(architecture, replicas), architecture)),
      replicas_(replicas),
      network_options_(network_options),
      processes_(processes),
      parameters(architecture, replicas, options),
      gradients(architecture, replicas, options),
      shard_gradients(architecture, replicas, options, network_options),
      running(architecture, replicas, options),
      weights_(in_ranges(parameters.weights)),
      dweights_(in_ranges(gradients.weights)) {}

void Network::initialise(const std::vector<std::uint64_t>& seeds) {
  if (static_cast<std::int64_t>(seeds.size()) != replicas_) {
    throw ArgumentError(fmt::format("{} for {}; each network needs its own", counted(seeds.size(), "seed"),
                                    counted(replicas_, "network")));
  }
  parameters.flat.zero_();
  for (std::size_t l = 0; l < parameters.weight.size(); ++l) {
    const bool by_outputs = network_options_.initial_fan == NetworkOptions::Fan::out;
    const std::int64_t fan = parameters.weight[l].size(by_outputs ? 1 : 2);
    he_normal(parameters.weight[l], fan, seeds, l);
  }
  for (const Tensor& gamma : parameters.gamma) gamma.fill_(1);
  for (const Tensor& mean : running.mean) mean.zero_();
  for (const Tensor& var : running.var) var.fill_(1);
}

void Network::forward(Workspace& workspace, const Tensor& x, Use use) {
  workspace.set_input(x);
  for (const auto& layer : workspace.layers()) layer->forward(use);
  if (use == Use::training && architecture_.has_batch_norm()) workspace.batch_statistics().update(running);
}

void Network::backward(Workspace& workspace, const Tensor& targets) {
  const auto& layers = workspace.layers();
  softmax_cross_entropy_backward(layers.back()->dy, workspace.probabilities, targets, workspace.batch_size());
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) (*layer)->backward();
  if (shard_gradients.of.empty()) {
    bias_backward(gradients.biases, workspace.dy_of_linear);
  } else {
    add_up_shards(workspace);
  }
}

void Network::add_up_shards(const Workspace& workspace) {
  const BatchPart& batch = workspace.batch();
  for (std::size_t v = 0; v < batch.shards.size(); ++v) {
    const std::int64_t shard = batch.first_shard + static_cast<std::int64_t>(v);
    if (batch.shards[v].images == 0) {
      shard_gradients.all[shard].zero_();
    } else {
      bias_backward(shard_gradients.of[static_cast<std::size_t>(shard)].biases,
                    batch.shards[v].of(workspace.dy_of_linear));
    }
  }
  gradients.flat.narrow(0, 0, shard_gradients.all.size(1))
      .copy_(add_up(shard_gradients.all, batch.processes));
}

void Network::add_penalty(std::size_t range, const L2& l2, std::int64_t batch_size) {
  if (range >= weights_.size()) return;  // of the other parameters
  if (!l2.spread_over_weights.empty()) {
    l2_penalty_backward(dweights_[range], weights_[range], l2.spread_over_weights[range], batch_size);
  } else if (l2.per_replica.front() != 0) {
    l2_penalty_backward(dweights_[range], weights_[range], l2.per_replica.front(), batch_size);
  }
}

void Network::forward_backward(Workspace& workspace, const Tensor& x, const Tensor& targets, Tensor* loss) {
  forward(workspace, x, Use::training);
  if (loss != nullptr) {
    this->loss(workspace, targets, *loss);
  } else {
    softmax_cross_entropy_forward(nullptr, workspace.probabilities, workspace.logits(), targets);
  }
  backward(workspace, targets);
}

void Network::forward_backward(Workspace& workspace, const Tensor& x, const Tensor& targets, const L2& l2,
                               Tensor* loss) {
  forward_backward(workspace, x, targets, loss);
  const auto ranges = static_cast<std::int64_t>(weights_.size());
  share_out_ranges_of(parameters.weights.numel(), ranges, [&](std::int64_t range) {
    add_penalty(static_cast<std::size_t>(range), l2, workspace.batch_size());
  });
}

void Network::loss(Workspace& workspace, const Tensor& targets, Tensor& loss) {
  softmax_cross_entropy_forward(&loss, workspace.probabilities, workspace.logits(), targets,
                                workspace.loss_sum());
  if (network_options_.clamp_probabilities)
    clamped_cross_entropy(loss, workspace.probabilities, targets, workspace.loss_sum());
}

void Network::substitute_input(const Tensor& scale, const Tensor& shift) {
  const std::int64_t networks_of_each = replicas_ / scale.size(0);
  const auto of_networks = [&](const Tensor& values) {
    return values.to(at::kDouble).repeat_interleave(networks_of_each).view({replicas_, 1, 1});
  };
  const Tensor weight = parameters.weight.front().to(at::kDouble);
  const Tensor bias = parameters.bias.front().to(at::kDouble);
  parameters.bias.front().copy_(bias + (of_networks(shift) * weight).sum(-1));
  parameters.weight.front().copy_(of_networks(scale) * weight);
}

std::string Network::layer_name(std::size_t linear) const {
  const auto l = static_cast<std::int64_t>(linear);
  return fmt::format("layer {} ({} → {})", l + 1, architecture_.fan_in(l), architecture_.fan_out(l));
}

// Also in what other processes have of a training batch.
bool Network::finite_everywhere(const Tensor& units) const {
  const bool here = all_finite(units);
  if (processes_ == nullptr) return here;
  const std::vector<bool> everywhere = processes_->from_all(here);
  return std::find(everywhere.begin(), everywhere.end(), false) == everywhere.end();
}

std::string Network::fault_in_pass(const Workspace& workspace, std::int64_t replica) const {
  for (std::size_t l = 0; l < gradients.weight.size(); ++l) {
    const Tensor& output = workspace.linear_output(static_cast<std::int64_t>(l));
    if (!finite_everywhere(output.select(1, replica))) return "the output of " + layer_name(l);
  }
  for (std::size_t l = gradients.weight.size(); l-- > 0;) {
    if (!all_finite(gradients.weight[l].select(0, replica))) return "the weight gradient of " + layer_name(l);
  }
  return "";
}

std::string Network::fault_in_parameters(std::int64_t replica) const {
  const auto first_fault = [&](const std::vector<Tensor>& tensors, const char* name) -> std::string {
    for (std::size_t l = 0; l < tensors.size(); ++l) {
      if (!all_finite(tensors[l].select(0, replica))) return fmt::format("the {} of {}", name, layer_name(l));
    }
    return "";
  };
  for (const auto& [tensors, name] :
       {std::pair(&parameters.weight, "weight"), std::pair(&parameters.bias, "bias"),
        std::pair(&parameters.gamma, "γ"), std::pair(&parameters.beta, "β"),
        std::pair(&running.mean, "running mean"), std::pair(&running.var, "running variance")}) {
    std::string fault = first_fault(*tensors, name);
    if (!fault.empty()) return fault;
  }
  return "";
}

Tensor Network::l2_penalty(const L2& l2, std::int64_t batch_size) const {
  Tensor penalty = at::empty({replicas_}, options());
  l2_penalty_forward(penalty, parameters.weight, at::tensor(l2.per_replica).to(options()), batch_size);
  return penalty;
}

}  // namespace handgrad
