// The tensors of R equal networks, each kind in one flat buffer.
#include "handgrad/nn/parameters.h"

#include <fmt/format.h>

#include <utility>

namespace handgrad {

namespace {

// Cuts views of the given shapes from a flat buffer, one after the other.
class Cutter {
 public:
  explicit Cutter(const Tensor& flat) : flat_(flat) {}

  Tensor cut(at::IntArrayRef shape) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    Tensor view = flat_.narrow(0, position_, count).view(shape);
    position_ += count;
    return view;
  }

 private:
  const Tensor& flat_;
  std::int64_t position_ = 0;
};

std::vector<Tensor> join(std::initializer_list<const std::vector<Tensor>*> parts) {
  std::vector<Tensor> all;
  for (const auto* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

}  // namespace

Parameters::Parameters(const Architecture& architecture, std::int64_t replicas,
                       const at::TensorOptions& options)
    : Parameters(architecture, replicas, at::zeros({replicas * architecture.parameter_count()}, options)) {}

Parameters::Parameters(const Architecture& architecture, std::int64_t replicas, Tensor flat_buffer)
    : flat(std::move(flat_buffer)),
      weights(flat.narrow(0, 0, replicas * architecture.weight_count())),
      biases(flat.narrow(0, weights.numel(), replicas * architecture.unit_count())) {
  Cutter cutter(flat);
  for (std::int64_t l = 0; l < architecture.linear_layers(); ++l) {
    weight.push_back(cutter.cut({replicas, architecture.fan_out(l), architecture.fan_in(l)}));
  }
  for (std::int64_t l = 0; l < architecture.linear_layers(); ++l)
    bias.push_back(cutter.cut({replicas, architecture.fan_out(l)}));
  if (!architecture.has_batch_norm()) return;
  for (const std::int64_t width : architecture.hidden) gamma.push_back(cutter.cut({replicas, width}));
  for (const std::int64_t width : architecture.hidden) beta.push_back(cutter.cut({replicas, width}));
}

std::vector<Tensor> Parameters::views() const {
  return join({&weight, &bias, &gamma, &beta});
}

RunningStatistics::RunningStatistics(const Architecture& architecture, std::int64_t replicas,
                                     const at::TensorOptions& options)
    : RunningStatistics(architecture, replicas,
                        at::zeros({2 * replicas * architecture.normalised_count()}, options)) {
  for (const Tensor& variance : var) variance.fill_(1);
}

RunningStatistics::RunningStatistics(const Architecture& architecture, std::int64_t replicas,
                                     Tensor flat_buffer)
    : flat(std::move(flat_buffer)) {
  if (!architecture.has_batch_norm()) return;
  Cutter cutter(flat);
  for (const std::int64_t width : architecture.hidden) mean.push_back(cutter.cut({replicas, width}));
  for (const std::int64_t width : architecture.hidden) var.push_back(cutter.cut({replicas, width}));
}

std::vector<Tensor> RunningStatistics::views() const {
  return join({&mean, &var});
}

std::vector<std::pair<std::string, Tensor>> named_tensors(const Architecture& architecture,
                                                          const Parameters& parameters,
                                                          const RunningStatistics& running,
                                                          std::int64_t replica) {
  std::vector<std::pair<std::string, Tensor>> named;
  const auto add = [&](std::int64_t index, const char* name, const Tensor& tensor) {
    named.emplace_back(fmt::format("{}.{}", index, name), tensor.select(0, replica));
  };
  const std::vector<LayerSpec> layers = architecture.layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto l = static_cast<std::size_t>(layers[i].index);
    const auto module = static_cast<std::int64_t>(i);
    switch (layers[i].kind) {
      case LayerSpec::Kind::linear:
        add(module, "weight", parameters.weight[l]);
        add(module, "bias", parameters.bias[l]);
        break;
      case LayerSpec::Kind::activation:
        break;
      case LayerSpec::Kind::batch_norm:
        add(module, "weight", parameters.gamma[l]);
        add(module, "bias", parameters.beta[l]);
        add(module, "running_mean", running.mean[l]);
        add(module, "running_var", running.var[l]);
        break;
    }
  }
  return named;
}

void copy_networks(Parameters& to_parameters, RunningStatistics& to_running,
                   const Parameters& from_parameters, const RunningStatistics& from_running,
                   const std::vector<std::int64_t>& replicas) {
  if (replicas.empty()) return;
  // The host's memory is not pinned: the call does not wait for the GPU, and needs it no longer.
  const Tensor index =
      at::tensor(replicas, at::kLong).to(to_parameters.flat.options().dtype(at::kLong), true);
  const auto copy = [&](const std::vector<Tensor>& to, const std::vector<Tensor>& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i].index_copy_(0, index, from[i].index_select(0, index));
  };
  copy(to_parameters.views(), from_parameters.views());
  copy(to_running.views(), from_running.views());
}

std::vector<Tensor> in_ranges(const Tensor& flat) {
  constexpr std::int64_t numbers_in_cache = std::int64_t{1} << 15;  // 128 KiB of float32
  if (flat.is_cuda()) return {flat};
  return flat.split(numbers_in_cache);
}

Tensor spread(const std::vector<double>& values, const std::vector<Tensor>& views) {
  std::vector<Tensor> parts;
  for (const Tensor& view : views) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(view.dim()), 1);
    shape[0] = view.size(0);
    const Tensor column = at::tensor(values, at::kDouble).view(shape);
    parts.push_back(column.expand(view.sizes()).reshape(-1).to(view.options()));
  }
  return at::cat(parts);
}

}  // namespace handgrad
