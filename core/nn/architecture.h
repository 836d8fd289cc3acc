// What a network is made of: its widths, and from these the list of its layers, which everything walks that
// builds, checks, exports or measures a network.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace handgrad {

enum class Activation { relu, leaky_relu, tanh };

// "relu", …: their names in flags and files; and in messages.
constexpr const char* activation_names[] = {"relu", "leaky-relu", "tanh"};
constexpr const char* activation_titles[] = {"ReLU", "leaky ReLU", "tanh"};
constexpr const char* name_of(Activation activation) {
  return activation_names[static_cast<int>(activation)];
}
constexpr const char* title_of(Activation activation) {
  return activation_titles[static_cast<int>(activation)];
}

// Where batch norm stands in each hidden layer: behind its activation, or in front of it, behind the linear
// layer, where Ioffe and Szegedy (2015, section 3.2) put it.
enum class BatchNormPlace { none, after, before };

// "none", …: their names in flags and files.
constexpr const char* batch_norm_place_names[] = {"none", "after", "before"};
constexpr const char* name_of(BatchNormPlace place) {
  return batch_norm_place_names[static_cast<int>(place)];
}

// One layer of a network. A new kind has its file in layers/; the compiler (-Wswitch) names every other place
// that needs a case for it.
struct LayerSpec {
  enum class Kind { linear, activation, batch_norm };

  Kind kind = Kind::linear;
  std::int64_t inputs = 0;   // features
  std::int64_t outputs = 0;  // the same as inputs, except for linear
  // Of the linear layer that it is or follows, from 0: the place of its tensors in Parameters.
  std::int64_t index = 0;
  Activation activation = Activation::relu;  // of an activation
};

// A fully connected classifier: inputs → hidden… → classes, an activation after each hidden layer, batch norm
// after or before that.
struct Architecture {
  std::int64_t inputs = 784;
  std::vector<std::int64_t> hidden = {20, 7, 5};  // empty: a linear classifier
  std::int64_t classes = 10;
  BatchNormPlace batch_norm = BatchNormPlace::none;
  Activation activation = Activation::relu;

  // In the order of the forward pass, as in the equal nn.Sequential of PyTorch.
  std::vector<LayerSpec> layers() const;

  // Of the linear layers, from 0.
  std::int64_t linear_layers() const { return static_cast<std::int64_t>(hidden.size()) + 1; }
  std::int64_t fan_in(std::int64_t linear) const {
    return linear == 0 ? inputs : hidden[static_cast<std::size_t>(linear - 1)];
  }
  std::int64_t fan_out(std::int64_t linear) const {
    return linear + 1 == linear_layers() ? classes : hidden[static_cast<std::size_t>(linear)];
  }
  std::int64_t widest_hidden() const;  // 0 where there is no hidden layer
  bool has_batch_norm() const { return batch_norm != BatchNormPlace::none && !hidden.empty(); }
  // Numbers of one network: outputs of linear layers, weights, outputs of batch norm, all that is trained.
  std::int64_t unit_count() const;
  std::int64_t weight_count() const;
  std::int64_t normalised_count() const { return has_batch_norm() ? unit_count() - classes : 0; }
  std::int64_t parameter_count() const;

  // "784-20-7-5-10", with " tanh" for another activation than ReLU and " + batch norm" where there is any, or
  // " + batch norm before ReLU": both are of hidden layers.
  std::string description() const;
};

constexpr std::int64_t widest_layer = 65536;

// Throws ArgumentError for a width outside 1 to widest_layer, no inputs, or less than one replica.
void validate(const Architecture& architecture, std::int64_t replicas);

}  // namespace handgrad
