// What a network is made of.
#include "handgrad/nn/architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"

namespace handgrad {

std::vector<LayerSpec> Architecture::layers() const {
  using Kind = LayerSpec::Kind;
  std::vector<LayerSpec> layers;
  for (std::int64_t l = 0; l < linear_layers(); ++l) {
    const std::int64_t features = fan_out(l);
    layers.push_back({Kind::linear, fan_in(l), features, l, {}});
    if (l + 1 == linear_layers()) break;
    const LayerSpec normalisation = {Kind::batch_norm, features, features, l, {}};
    if (batch_norm == BatchNormPlace::before) layers.push_back(normalisation);
    layers.push_back({Kind::activation, features, features, l, activation});
    if (batch_norm == BatchNormPlace::after) layers.push_back(normalisation);
  }
  return layers;
}

std::int64_t Architecture::unit_count() const {
  return std::accumulate(hidden.begin(), hidden.end(), classes);
}

std::int64_t Architecture::weight_count() const {
  std::int64_t sum = 0;
  for (std::int64_t l = 0; l < linear_layers(); ++l) sum += fan_in(l) * fan_out(l);
  return sum;
}

std::int64_t Architecture::widest_hidden() const {
  return hidden.empty() ? 0 : *std::max_element(hidden.begin(), hidden.end());
}

std::int64_t Architecture::parameter_count() const {
  return weight_count() + unit_count() + 2 * normalised_count();
}

std::string Architecture::description() const {
  std::string text = std::to_string(inputs);
  for (const std::int64_t width : hidden) text += fmt::format("-{}", width);
  text += fmt::format("-{}", classes);
  if (hidden.empty()) return text;
  if (activation != Activation::relu) {
    text += fmt::format(" {}", title_of(activation));
  }
  if (batch_norm != BatchNormPlace::none) text += " + batch norm";
  if (batch_norm == BatchNormPlace::before) text += fmt::format(" before {}", title_of(activation));
  return text;
}

void validate(const Architecture& architecture, std::int64_t replicas) {
  if (architecture.inputs < 1) throw ArgumentError("a network needs at least one input");
  if (replicas < 1) throw ArgumentError("replicas", fmt::format("got {}; must be at least 1", replicas));
  for (std::int64_t l = 0; l < architecture.linear_layers(); ++l) {
    if (architecture.fan_out(l) < 1 || architecture.fan_out(l) > widest_layer) {
      throw ArgumentError(fmt::format("layer {} has {}; each layer needs 1 to {}", l + 1,
                                      counted(architecture.fan_out(l), "unit"), widest_layer));
    }
  }
}

}  // namespace handgrad
