// Quantised networks as ONNX: what lies between QuantizeLinear and DequantizeLinear is bytes.
#ifdef HANDGRAD_ONNX
#include <cmath>
#include <limits>

#include "handgrad/models/onnx_file.h"
#include "handgrad/models/onnx_graph.h"

namespace handgrad {

namespace {

class Int8Layers {
 public:
  Int8Layers(OnnxGraph& graph, const QuantisedNetwork& network)
      : graph_(graph), activation_(network.activation), one_(graph.constant(at::scalar_tensor(1.0F))) {}

  // Pixels in 0 to 1 as bytes, and those as float32 again: whole numbers.
  void add_bytes_of_pixels() {
    quantise(at::scalar_tensor(1.0F / 255), at::scalar_tensor(0, at::kByte), "bytes");
    graph_.add("DequantizeLinear", {one_}, "whole_pixels");
  }

  // bias + Σ weight x. What is dequantised keeps its value: scales are left to the next QuantizeLinear.
  void add_sums(const QuantisedLayer& layer, std::size_t index) {
    const std::string x = graph_.last();
    const auto whole = [&](const char* what, const Tensor& values) {
      const std::string name = fmt::format("{}.{}", index, what);
      graph_.add_tensor(name, values);
      return graph_.of("DequantizeLinear", {name, one_});
    };
    const std::string weight =
        whole("weight", at::tensor(layer.weight, at::kChar).view({layer.outputs, layer.inputs}));
    const std::string bias = whole("bias", at::tensor(layer.bias, at::kInt));
    graph_.begin(x);
    OnnxGraph::set(graph_.add("Gemm", {weight, bias}, fmt::format("{}.sums", index)), "transB",
                   std::int64_t{1});
  }

  // Sums of hidden units to their bytes, as float32.
  void add_activation(const QuantisedLayer& layer, std::size_t index) {
    const std::string sums = graph_.last();
    const std::string bytes = fmt::format("{}.bytes", index);
    const Tensor zeros = at::tensor(layer.zero, at::kByte);
    if (activation_ != Activation::tanh) {
      graph_.add(onnx_operator(activation_), {}, fmt::format("{}.{}", index, name_of(activation_)));
      quantise(steps(layer), zeros, bytes);
      graph_.add("DequantizeLinear", {one_}, fmt::format("{}.whole", index));
      return;
    }
    graph_.of("Abs", {sums});
    quantise(steps(layer), at::zeros_like(zeros), bytes);
    const std::string place = graph_.of("Cast", {bytes}, "to", onnx::TensorProto::INT64);
    const std::string table = graph_.constant(at::tensor(tanh_table(), at::kFloat));
    const std::string size = graph_.of("Gather", {table, place});
    const std::string signed_bytes = graph_.of("Mul", {size, graph_.of("Sign", {sums})});
    graph_.begin(graph_.of("Add", {signed_bytes, graph_.constant(zeros.to(at::kFloat))}));
  }

 private:
  // With a scale for all, or one for each unit.
  void quantise(const Tensor& scale, const Tensor& zero, const std::string& output) {
    const std::string scales = graph_.constant(scale);
    graph_.add("QuantizeLinear", {scales, graph_.constant(zero)}, output);
  }

  // By how much a unit's sum grows from byte to byte. Where no sum counts, all of them stay below a half.
  static Tensor steps(const QuantisedLayer& layer) {
    std::vector<float> result;
    for (const Multiplier& by : layer.multiplier) {
      result.push_back(by.factor == 0 ? std::numeric_limits<float>::max()
                                      : static_cast<float>(std::ldexp(1.0, by.shift) / by.factor));
    }
    return at::tensor(result);
  }

  OnnxGraph& graph_;
  Activation activation_;
  std::string one_;
};

}  // namespace

std::string to_int8_onnx(const Model& model, const QuantisedNetwork& network) {
  Metadata metadata = metadata_of(model);
  metadata["quantised"] = "int8";
  return onnx_file(model, metadata, [&](OnnxGraph& graph) {
    Int8Layers layers(graph, network);
    layers.add_bytes_of_pixels();
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
      layers.add_sums(network.layers[l], l);
      if (l + 1 < network.layers.size()) layers.add_activation(network.layers[l], l);
    }
    graph.add("Mul", {graph.constant(at::scalar_tensor(network.logit_scale))}, "logits");
  });
}

}  // namespace handgrad
#endif
