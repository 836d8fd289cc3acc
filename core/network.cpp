// R equal networks side by side: forward and backward.
#include "network.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "errors.h"
#include "init.h"

namespace handgrad {

namespace {

bool all_finite(const Tensor& tensor) {
  return at::isfinite(tensor).all().item<bool>();
}

}  // namespace

L2::L2(std::vector<double> values, const Parameters& parameters) : per_replica(std::move(values)) {
  const auto differs = [&](double value) { return value != per_replica.front(); };
  if (std::any_of(per_replica.begin(), per_replica.end(), differs)) {
    spread_over_weights = spread(per_replica, parameters.weight);
  }
}

Workspace::Workspace(Network& network, int64_t batch_size, Use use) : batch_size_(batch_size) {
  const Architecture& architecture = network.architecture();
  const int64_t replicas = network.replicas();
  const bool training = use == Use::training;
  const auto activations = [&](int64_t features) {
    return at::empty({batch_size, replicas, features}, network.options());
  };
  const auto statistics = [&](int64_t features) {
    return at::empty({replicas, features}, network.options());
  };

  for (int64_t l = 0; l < architecture.layers(); ++l) {
    const int64_t features = architecture.fan_out(l);
    const bool batch_norm = architecture.batch_norm && l + 1 < architecture.layers();
    Layer layer;
    layer.output = activations(features);
    if (training) layer.doutput = activations(features);
    if (batch_norm) {
      layer.normalised = activations(features);
      if (training) {
        layer.dnormalised = activations(features);
        layer.x_hat = activations(features);
        layer.mean = statistics(features);
        layer.variance = statistics(features);
        layer.inverse_std = statistics(features);
      }
    }
    layers_.push_back(layer);
  }
  log_probabilities_ = activations(architecture.classes);
  for (size_t l = 0; l < layers_.size(); ++l) layers_[l].products = slice(network, l);
}

std::vector<Workspace::Product> Workspace::slice(Network& network, size_t l) const {
  const Tensor& weight = network.parameters.weight[l];
  const Tensor& bias = network.parameters.bias[l];
  const Tensor& dweight = network.gradients.weight[l];
  const Tensor& dbias = network.gradients.bias[l];
  const Tensor& y = layers_[l].output;
  const Tensor& dy = layers_[l].doutput;
  const bool training = dy.defined();

  if (l == 0) {
    // All networks read the same input: one product, as wide as all of them. x comes with each batch.
    Product product;
    product.y = y.flatten(1);
    product.weight = weight.flatten(0, 1);
    product.bias = bias.flatten();
    if (training) {
      product.dy = dy.flatten(1);
      product.dweight = dweight.flatten(0, 1);
      product.dbias = dbias.flatten();
    }
    return {product};
  }

  const Layer& below = layers_[l - 1];
  const bool batch_norm = below.normalised.defined();
  const Tensor& x = batch_norm ? below.normalised : below.output;
  const Tensor& dx = batch_norm ? below.dnormalised : below.doutput;
  if (y.is_cuda()) {
    // One batched product over a leading replica axis.
    Product product{y.transpose(0, 1), x.transpose(0, 1), weight, bias, {}, {}, dweight, dbias};
    if (training) {
      product.dy = dy.transpose(0, 1);
      product.dx = dx.transpose(0, 1);
    }
    return {product};
  }
  // On a CPU one product per network is faster than a batched one.
  std::vector<Product> products;
  for (int64_t r = 0; r < network.replicas(); ++r) {
    Product product{y.select(1, r),       x.select(1, r),    weight.select(0, r), bias.select(0, r), {}, {},
                    dweight.select(0, r), dbias.select(0, r)};
    if (training) {
      product.dy = dy.select(1, r);
      product.dx = dx.select(1, r);
    }
    products.push_back(product);
  }
  return products;
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
  parameters.flat.zero_();
  for (size_t l = 0; l < parameters.weight.size(); ++l) he_normal(parameters.weight[l], seeds, l);
  for (const Tensor& gamma : parameters.gamma) gamma.fill_(1);
  for (const Tensor& mean : running.mean) mean.zero_();
  for (const Tensor& var : running.var) var.fill_(1);
}

void Network::forward(Workspace& workspace, const Tensor& x, Workspace::Use use) {
  workspace.layers_.front().products.front().x = x;
  for (size_t l = 0; l < workspace.layers_.size(); ++l) {
    Workspace::Layer& layer = workspace.layers_[l];
    for (Workspace::Product& p : layer.products) linear_forward(p.y, p.x, p.weight, p.bias);
    if (l + 1 == workspace.layers_.size()) break;
    relu_forward(layer.output, layer.output);
    if (!architecture_.batch_norm) continue;
    if (use == Workspace::Use::training) {
      batch_norm_forward(layer.normalised, layer.x_hat, layer.mean, layer.variance, layer.inverse_std,
                         layer.output, parameters.gamma[l], parameters.beta[l], batch_norm_eps);
      batch_norm_update_running(running.mean[l], running.var[l], layer.mean, layer.variance,
                                workspace.batch_size(), batch_norm_momentum);
    } else {
      batch_norm_evaluate(layer.normalised, layer.output, running.mean[l], running.var[l],
                          parameters.gamma[l], parameters.beta[l], batch_norm_eps);
    }
  }
}

void Network::backward(Workspace& workspace, const Tensor& targets) {
  softmax_cross_entropy_backward(workspace.layers_.back().doutput, workspace.log_probabilities_, targets);
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
    for (Workspace::Product& p : layer.products) {
      linear_backward(l == 0 ? nullptr : &p.dx, p.dweight, p.dbias, p.dy, p.x, p.weight);
    }
  }
}

void Network::forward_backward(Workspace& workspace, const Tensor& x, const Tensor& targets, const L2& l2,
                               Tensor* loss) {
  forward(workspace, x, Workspace::Use::training);
  softmax_cross_entropy_forward(loss, workspace.log_probabilities_, workspace.logits(), targets);
  backward(workspace, targets);
  if (l2.spread_over_weights.defined()) {
    l2_penalty_backward(gradients.weights, parameters.weights, l2.spread_over_weights,
                        workspace.batch_size());
  } else if (l2.per_replica.front() != 0) {
    l2_penalty_backward(gradients.weights, parameters.weights, l2.per_replica.front(),
                        workspace.batch_size());
  }
}

void Network::loss(Workspace& workspace, const Tensor& targets, Tensor& loss) {
  softmax_cross_entropy_forward(&loss, workspace.log_probabilities_, workspace.logits(), targets);
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
