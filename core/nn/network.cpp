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
Tensor clamped_cross_entropy(const Tensor& probabilities, const Tensor& targets) {
  constexpr double least = 1e-15;
  const Tensor picked = (probabilities * targets).sum(-1).clamp(least, 1 - least);
  return -picked.log().mean(0);
}

bool all_finite(const Tensor& tensor) {
  return at::isfinite(tensor).all().item<bool>();
}

// The smallest products cost their call, not their arithmetic: so many are worth waking a thread for.
constexpr double most_products_per_thread = 16;

// Runs `work` for all items, `grain` of them at a time on one thread.
template <typename Item, typename Work>
void for_each(std::vector<Item>& items, int64_t grain, const Work& work) {
  const auto count = static_cast<int64_t>(items.size());
  share_out((count + grain - 1) / grain, [&](int64_t part) {
    const int64_t end = std::min(count, (part + 1) * grain);
    for (int64_t i = part * grain; i < end; ++i) work(items[static_cast<size_t>(i)]);
  });
}

}  // namespace

double largest_layer_flops(const Architecture& architecture, int64_t replicas, int64_t batch_size) {
  double largest = 0;
  for (int64_t l = 0; l < architecture.layers(); ++l) {
    const auto weights = static_cast<double>(replicas * architecture.fan_in(l) * architecture.fan_out(l));
    largest = std::max(largest, 2 * static_cast<double>(batch_size) * weights);
  }
  return largest;
}

L2::L2(std::vector<double> values, const Parameters& parameters) : per_replica(std::move(values)) {
  const auto differs = [&](double value) { return value != per_replica.front(); };
  if (std::any_of(per_replica.begin(), per_replica.end(), differs)) {
    spread_over_weights = spread(per_replica, parameters.weight);
  }
}

Workspace::Workspace(Network& network, int64_t batch_size, Use use, int64_t lanes)
    : batch_size_(batch_size), lanes_(lanes) {
  const Architecture& architecture = network.architecture();
  const int64_t replicas = network.replicas();
  const bool training = use == Use::training;
  const auto activations = [&](int64_t features) {
    return at::empty({batch_size, replicas, features}, network.options());
  };
  const auto statistics = [&](int64_t features) {
    return at::empty({replicas, features}, network.options());
  };

  if (training) {
    doutputs_ = at::empty({batch_size, network.parameters.biases.numel()}, network.options());
    const Tensor& weights = network.parameters.weights;
    const int64_t parts = weights.is_cuda() ? 1 : threads_for_numbers(weights.numel());
    weights_ = weights.chunk(parts);
    dweights_ = network.gradients.weights.chunk(parts);
  }
  int64_t column = 0;
  for (int64_t l = 0; l < architecture.layers(); ++l) {
    const int64_t features = architecture.fan_out(l);
    const bool batch_norm = architecture.batch_norm && l + 1 < architecture.layers();
    Layer layer;
    layer.output = activations(features);
    if (training) {
      layer.doutput = doutputs_.narrow(1, column, replicas * features).unflatten(1, {replicas, features});
      column += replicas * features;
    }
    if (batch_norm) {
      layer.normalised = activations(features);
      if (training) layer.dnormalised = activations(features);
      if (training || network.compat().bn_batch_stats) {
        layer.x_hat = activations(features);
        layer.mean = statistics(features);
        layer.variance = statistics(features);
        layer.inverse_std = statistics(features);
      }
    }
    layers_.push_back(layer);
  }
  probabilities_ = activations(architecture.classes);
  if (lanes > 1) slice_lanes(network);
  for (size_t l = lanes > 1 ? 1 : 0; l < layers_.size(); ++l) slice(network, l);
}

// The first layer of lanes: those of a lane, which read the same input, are one wide layer.
void Workspace::slice_lanes(Network& network) {
  Layer& layer = layers_.front();
  const auto by_lane = [&](const Tensor& units) { return units.flatten(1).unflatten(1, {lanes_, -1}); };
  const auto weights = [&](const Tensor& weight) { return weight.view({lanes_, -1, weight.size(2)}); };
  const Tensor y = by_lane(layer.output).transpose(0, 1);
  const Tensor weight = weights(network.parameters.weight.front());
  const Tensor dweight = weights(network.gradients.weight.front());
  const Tensor dy = layer.doutput.defined() ? by_lane(layer.doutput).transpose(0, 1) : Tensor();
  const auto add = [&](const Tensor& y, const Tensor& weight, const Tensor& dweight, const Tensor& dy) {
    layer.forward.push_back({y, {}, {}, {}, weight, {}});
    if (dy.defined()) layer.backward.push_back({{}, {}, dweight, {}, {}, dy});
  };
  if (y.is_cuda()) return add(y, weight, dweight, dy);
  for (int64_t k = 0; k < lanes_; ++k) add(y[k], weight[k], dweight[k], dy.defined() ? dy[k] : dy);
}

// The first layer's x comes with each batch.
void Workspace::set_input(const Tensor& x) {
  Layer& first = layers_.front();
  for (std::vector<Product>* products : {&first.forward, &first.backward}) {
    for (size_t i = 0; i < products->size(); ++i) {
      (*products)[i].x = lanes_ == 1   ? x
                         : x.is_cuda() ? x.transpose(0, 1)
                                       : x.select(1, static_cast<int64_t>(i));
    }
  }
}

void Workspace::slice(Network& network, size_t l) {
  Layer& layer = layers_[l];
  const Tensor& weight = network.parameters.weight[l];
  const Tensor& dweight = network.gradients.weight[l];
  const Tensor& y = layer.output;
  const Tensor& dy = layer.doutput;
  const bool training = dy.defined();
  const bool first = l == 0;
  const double flops = 2.0 * static_cast<double>(batch_size_ * weight.numel());  // of all networks
  Tensor x;
  Tensor dx;
  if (!first) {
    const Layer& below = layers_[l - 1];
    const bool batch_norm = below.normalised.defined();
    x = batch_norm ? below.normalised : below.output;
    dx = batch_norm ? below.dnormalised : below.doutput;
  }

  if (!first && y.is_cuda()) {
    // One batched product over a leading replica axis.
    layer.forward = {{y.transpose(0, 1), {}, {}, x.transpose(0, 1), weight, {}}};
    if (training) {
      layer.backward = {
          {{}, dx.transpose(0, 1), dweight, x.transpose(0, 1), weight, Matrix(dy.transpose(0, 1))}};
    }
    return;
  }
  if (!first && network.replicas() > 1) {
    // On a CPU one product per network is faster than a batched one.
    const double products_per_thread = flops_per_thread / (flops / static_cast<double>(network.replicas()));
    layer.grain = static_cast<int64_t>(std::clamp(products_per_thread, 1.0, most_products_per_thread));
    for (int64_t r = 0; r < network.replicas(); ++r) {
      const Matrix of_network = weight.select(0, r);
      layer.forward.push_back({y.select(1, r), {}, {}, x.select(1, r), of_network, {}});
      if (!training) continue;
      layer.backward.push_back(
          {{}, dx.select(1, r), dweight.select(0, r), x.select(1, r), of_network, Matrix(dy.select(1, r))});
    }
    return;
  }

  // One product: of the only network, or of all that read the same input, which are one wide layer. Where it
  // is large enough, threads share the outputs, and of dx the images.
  const Tensor y_wide = y.flatten(1);
  const Tensor weight_wide = weight.flatten(0, 1);
  if (!first) x = x.flatten(1);
  const int64_t parts = y.is_cuda() ? 1 : std::min(threads(), useful_threads(flops));
  const std::vector<Tensor> y_parts = y_wide.chunk(parts, 1);
  const std::vector<Tensor> weight_parts = weight_wide.chunk(parts, 0);
  for (size_t i = 0; i < y_parts.size(); ++i) {
    layer.forward.push_back({y_parts[i], {}, {}, x, weight_parts[i], {}});
  }
  if (!training) return;
  const Tensor dy_wide = dy.flatten(1);
  const Tensor dx_wide = first ? Tensor() : dx.flatten(1);
  if (y_parts.size() == 1) {
    layer.backward = {{{}, dx_wide, dweight.flatten(0, 1), x, weight_wide, dy_wide}};
    return;
  }
  const std::vector<Tensor> dweight_parts = dweight.flatten(0, 1).chunk(parts, 0);
  const std::vector<Tensor> dy_parts = dy_wide.chunk(parts, 1);
  for (size_t i = 0; i < dy_parts.size(); ++i) {
    layer.backward.push_back({{}, {}, dweight_parts[i], x, {}, dy_parts[i]});
  }
  if (first) return;
  const std::vector<Tensor> dx_rows = dx_wide.chunk(parts, 0);
  const std::vector<Tensor> dy_rows = dy_wide.chunk(parts, 0);
  for (size_t i = 0; i < dx_rows.size(); ++i) {
    layer.backward.push_back({{}, dx_rows[i], {}, {}, weight_wide, dy_rows[i]});
  }
}

Network::Network(const Architecture& architecture, int64_t replicas, const at::TensorOptions& options,
                 Compat compat)
    : architecture_((validate(architecture, replicas), architecture)),
      replicas_(replicas),
      compat_(compat),
      parameters(architecture, replicas, options),
      gradients(architecture, replicas, options),
      running(architecture, replicas, options) {}

void Network::initialise(const std::vector<std::uint64_t>& seeds) {
  if (static_cast<int64_t>(seeds.size()) != replicas_) {
    throw ArgumentError(fmt::format("{} for {}; each network needs its own", counted(seeds.size(), "seed"),
                                    counted(replicas_, "network")));
  }
  parameters.flat.zero_();
  for (size_t l = 0; l < parameters.weight.size(); ++l) {
    const int64_t fan =
        compat_.fan_out_init ? architecture_.fan_out(static_cast<int64_t>(l)) : parameters.weight[l].size(2);
    he_normal(parameters.weight[l], fan, seeds, l);
  }
  for (const Tensor& gamma : parameters.gamma) gamma.fill_(1);
  for (const Tensor& mean : running.mean) mean.zero_();
  for (const Tensor& var : running.var) var.fill_(1);
}

void Network::forward(Workspace& workspace, const Tensor& x, Workspace::Use use) {
  workspace.set_input(x);
  for (size_t l = 0; l < workspace.layers_.size(); ++l) {
    Workspace::Layer& layer = workspace.layers_[l];
    for_each(layer.forward, layer.grain, [](Workspace::Product& p) { linear_forward(p.y, p.x, p.weight); });
    bias_forward(layer.output, parameters.bias[l]);
    if (l + 1 == workspace.layers_.size()) break;
    relu_forward(layer.output, layer.output);
    if (architecture_.batch_norm) batch_norm(workspace, l, use);
  }
}

void Network::batch_norm(Workspace& workspace, size_t l, Workspace::Use use) {
  Workspace::Layer& layer = workspace.layers_[l];
  const bool training = use == Workspace::Use::training;
  if (training || compat_.bn_batch_stats) {
    batch_norm_forward(layer.normalised, layer.x_hat, layer.mean, layer.variance, layer.inverse_std,
                       layer.output, parameters.gamma[l], parameters.beta[l], eps());
    if (!training) return;
    batch_norm_update_running(running.mean[l], running.var[l], layer.mean, layer.variance,
                              workspace.batch_size(), batch_norm_momentum);
  } else {
    batch_norm_evaluate(layer.normalised, layer.output, running.mean[l], running.var[l], parameters.gamma[l],
                        parameters.beta[l], eps());
  }
}

void Network::backward(Workspace& workspace, const Tensor& targets) {
  softmax_cross_entropy_backward(workspace.layers_.back().doutput, workspace.probabilities_, targets);
  for (size_t l = workspace.layers_.size(); l-- > 0;) {
    Workspace::Layer& layer = workspace.layers_[l];
    if (l + 1 < workspace.layers_.size()) {
      if (architecture_.batch_norm && !compat_.bn_no_backward) {
        batch_norm_backward(layer.doutput, gradients.gamma[l], gradients.beta[l], layer.dnormalised,
                            layer.x_hat, layer.inverse_std, parameters.gamma[l]);
      } else if (architecture_.batch_norm) {
        layer.doutput.copy_(layer.dnormalised);
        gradients.gamma[l].zero_();
        gradients.beta[l].zero_();
      }
      relu_backward(layer.doutput, layer.doutput, layer.output);
    }
    for_each(layer.backward, layer.grain, [](Workspace::Product& p) {
      linear_backward(p.dx.defined() ? &p.dx : nullptr, p.dweight.defined() ? &p.dweight : nullptr, p.dy, p.x,
                      p.weight);
    });
  }
  bias_backward(gradients.biases, workspace.doutputs_);
}

void Network::forward_backward(Workspace& workspace, const Tensor& x, const Tensor& targets, const L2& l2,
                               Tensor* loss) {
  forward(workspace, x, Workspace::Use::training);
  if (loss != nullptr) {
    this->loss(workspace, targets, *loss);
  } else {
    softmax_cross_entropy_forward(nullptr, workspace.probabilities_, workspace.logits(), targets);
  }
  backward(workspace, targets);
  if (l2.spread_over_weights.defined()) {
    l2_penalty_backward(gradients.weights, parameters.weights, l2.spread_over_weights,
                        workspace.batch_size());
  } else if (l2.per_replica.front() != 0) {
    share_out(static_cast<int64_t>(workspace.weights_.size()), [&](int64_t i) {
      const auto part = static_cast<size_t>(i);
      l2_penalty_backward(workspace.dweights_[part], workspace.weights_[part], l2.per_replica.front(),
                          workspace.batch_size());
    });
  }
}

void Network::loss(Workspace& workspace, const Tensor& targets, Tensor& loss) {
  softmax_cross_entropy_forward(&loss, workspace.probabilities_, workspace.logits(), targets);
  if (compat_.prob_loss) loss.copy_(clamped_cross_entropy(workspace.probabilities_, targets));
}

std::string Network::layer_name(size_t layer) const {
  const auto l = static_cast<int64_t>(layer);
  return fmt::format("layer {} ({} → {})", l + 1, architecture_.fan_in(l), architecture_.fan_out(l));
}

std::string Network::fault_in_pass(const Workspace& workspace, int64_t replica) const {
  for (size_t l = 0; l < workspace.layers_.size(); ++l) {
    if (!all_finite(workspace.layers_[l].output.select(1, replica))) return "the output of " + layer_name(l);
  }
  for (size_t l = workspace.layers_.size(); l-- > 0;) {
    if (!all_finite(gradients.weight[l].select(0, replica))) return "the weight gradient of " + layer_name(l);
  }
  return "";
}

std::string Network::fault_in_parameters(int64_t replica) const {
  const auto first_fault = [&](const std::vector<Tensor>& tensors, const char* name) -> std::string {
    for (size_t l = 0; l < tensors.size(); ++l) {
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

Tensor Network::l2_penalty(const L2& l2, int64_t batch_size) const {
  Tensor penalty = at::empty({replicas_}, options());
  l2_penalty_forward(penalty, parameters.weight, at::tensor(l2.per_replica).to(options()), batch_size);
  return penalty;
}

}  // namespace handgrad
