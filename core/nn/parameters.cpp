// The tensors of R equal networks, each kind in one flat buffer.
#include "handgrad/nn/parameters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"

namespace handgrad {

namespace {

// Cuts views of the given shapes from a flat buffer, one after the other.
class Cutter {
 public:
  explicit Cutter(const Tensor& flat) : flat_(flat) {}

  Tensor cut(at::IntArrayRef shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    Tensor view = flat_.narrow(0, position_, count).view(shape);
    position_ += count;
    return view;
  }

 private:
  const Tensor& flat_;
  int64_t position_ = 0;
};

std::vector<Tensor> join(std::initializer_list<const std::vector<Tensor>*> parts) {
  std::vector<Tensor> all;
  for (const auto* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

int64_t hidden_features(const Architecture& architecture) {
  int64_t sum = 0;
  for (const int64_t width : architecture.hidden) sum += width;
  return sum;
}

// Of all layers: as many as there are biases.
int64_t unit_count(const Architecture& architecture) {
  return hidden_features(architecture) + architecture.classes;
}

int64_t weight_count(const Architecture& architecture) {
  int64_t sum = 0;
  for (int64_t l = 0; l < architecture.layers(); ++l) sum += architecture.fan_in(l) * architecture.fan_out(l);
  return sum;
}

}  // namespace

int64_t Architecture::widest_hidden() const {
  return hidden.empty() ? 0 : *std::max_element(hidden.begin(), hidden.end());
}

int64_t Architecture::parameter_count() const {
  const int64_t features = hidden_features(*this);
  return weight_count(*this) + features + classes + (batch_norm ? 2 * features : 0);
}

std::string Architecture::description() const {
  std::string text = std::to_string(inputs);
  for (const int64_t width : hidden) text += fmt::format("-{}", width);
  return text + fmt::format("-{}{}", classes, batch_norm && !hidden.empty() ? " + batch norm" : "");
}

void validate(const Architecture& architecture, int64_t replicas) {
  if (architecture.inputs < 1) throw ArgumentError("a network needs at least one input");
  if (replicas < 1) throw ArgumentError("replicas", fmt::format("got {}; must be at least 1", replicas));
  for (int64_t l = 0; l < architecture.layers(); ++l) {
    if (architecture.fan_out(l) < 1 || architecture.fan_out(l) > widest_layer) {
      throw ArgumentError(fmt::format("layer {} has {}; each layer needs 1 to {}", l + 1,
                                      counted(architecture.fan_out(l), "unit"), widest_layer));
    }
  }
}

Parameters::Parameters(const Architecture& architecture, int64_t replicas, const at::TensorOptions& options)
    : flat(at::zeros({replicas * architecture.parameter_count()}, options)),
      weights(flat.narrow(0, 0, replicas * weight_count(architecture))),
      biases(flat.narrow(0, weights.numel(), replicas * unit_count(architecture))) {
  Cutter cutter(flat);
  for (int64_t l = 0; l < architecture.layers(); ++l) {
    weight.push_back(cutter.cut({replicas, architecture.fan_out(l), architecture.fan_in(l)}));
  }
  for (int64_t l = 0; l < architecture.layers(); ++l)
    bias.push_back(cutter.cut({replicas, architecture.fan_out(l)}));
  if (!architecture.batch_norm) return;
  for (const int64_t width : architecture.hidden) gamma.push_back(cutter.cut({replicas, width}));
  for (const int64_t width : architecture.hidden) beta.push_back(cutter.cut({replicas, width}));
}

std::vector<Tensor> Parameters::views() const {
  return join({&weight, &bias, &gamma, &beta});
}

RunningStatistics::RunningStatistics(const Architecture& architecture, int64_t replicas,
                                     const at::TensorOptions& options)
    : flat(at::zeros({architecture.batch_norm ? 2 * replicas * hidden_features(architecture) : 0}, options)) {
  if (!architecture.batch_norm) return;
  Cutter cutter(flat);
  for (const int64_t width : architecture.hidden) mean.push_back(cutter.cut({replicas, width}));
  for (const int64_t width : architecture.hidden) var.push_back(cutter.cut({replicas, width}).fill_(1));
}

std::vector<Tensor> RunningStatistics::views() const {
  return join({&mean, &var});
}

std::vector<std::pair<std::string, Tensor>> named_tensors(const Architecture& architecture,
                                                          const Parameters& parameters,
                                                          const RunningStatistics& running, int64_t replica) {
  std::vector<std::pair<std::string, Tensor>> named;
  const auto add = [&](int64_t index, const char* name, const Tensor& tensor) {
    named.emplace_back(fmt::format("{}.{}", index, name), tensor.select(0, replica));
  };
  const int64_t modules_per_layer = architecture.batch_norm ? 3 : 2;
  for (size_t l = 0; l < parameters.weight.size(); ++l) {
    const int64_t index = static_cast<int64_t>(l) * modules_per_layer;
    add(index, "weight", parameters.weight[l]);
    add(index, "bias", parameters.bias[l]);
    if (l < parameters.gamma.size()) {
      add(index + 2, "weight", parameters.gamma[l]);
      add(index + 2, "bias", parameters.beta[l]);
      add(index + 2, "running_mean", running.mean[l]);
      add(index + 2, "running_var", running.var[l]);
    }
  }
  return named;
}

void copy_networks(Parameters& to_parameters, RunningStatistics& to_running,
                   const Parameters& from_parameters, const RunningStatistics& from_running,
                   const std::vector<int64_t>& replicas) {
  if (replicas.empty()) return;
  // The host's memory is not pinned: the call does not wait for the GPU, and needs it no longer.
  const Tensor index =
      at::tensor(replicas, at::kLong).to(to_parameters.flat.options().dtype(at::kLong), true);
  const auto copy = [&](const std::vector<Tensor>& to, const std::vector<Tensor>& from) {
    for (size_t i = 0; i < to.size(); ++i) to[i].index_copy_(0, index, from[i].index_select(0, index));
  };
  copy(to_parameters.views(), from_parameters.views());
  copy(to_running.views(), from_running.views());
}

Tensor spread(const std::vector<double>& values, const std::vector<Tensor>& views) {
  std::vector<Tensor> parts;
  for (const Tensor& view : views) {
    std::vector<int64_t> shape(static_cast<size_t>(view.dim()), 1);
    shape[0] = view.size(0);
    const Tensor column = at::tensor(values, at::kDouble).view(shape);
    parts.push_back(column.expand(view.sizes()).reshape(-1).to(view.options()));
  }
  return at::cat(parts);
}

}  // namespace handgrad
