// ONNX files: a graph of Flatten, Gemm, Relu, BatchNormalization and Softmax; before them the deskewing, if any.
#include "handgrad/models/onnx_file.h"

#include "handgrad/base/errors.h"

#ifdef HANDGRAD_ONNX
#include <fmt/format.h>
#include <onnx/checker.h>

#include "handgrad/models/onnx_graph.h"
#include "handgrad/platform/system.h"
#endif

namespace handgrad {

#ifdef HANDGRAD_ONNX

namespace {

constexpr int ir_version = 7;  // the one that came with opset 13

}  // namespace

bool onnx_available() {
  return true;
}

const char* onnx_operator(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return "Relu";
    case Activation::leaky_relu:
      return "LeakyRelu";  // its default slope is ours
    case Activation::tanh:
      return "Tanh";
  }
  return "";
}

std::string onnx_file(const Model& model, const Metadata& metadata,
                      const std::function<void(OnnxGraph&)>& add_layers) {
  const Architecture& architecture = model.network->architecture();
  onnx::ModelProto file;
  file.set_ir_version(ir_version);
  file.add_opset_import()->set_version(onnx_opset);
  file.set_producer_name("handgrad");
  file.set_producer_version(version());
  for (const auto& [key, value] : metadata) {
    onnx::StringStringEntryProto& entry = *file.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  onnx::GraphProto& proto = *file.mutable_graph();
  proto.set_name(architecture.description());
  OnnxGraph::describe(*proto.add_input(), "images", {1, model.info.shape.rows, model.info.shape.columns});
  OnnxGraph::describe(*proto.add_output(), "probabilities", {architecture.classes});

  OnnxGraph graph(proto);
  graph.begin("images");
  if (model.info.deskew) add_deskew(graph, model.info.shape);
  graph.add("Flatten", {}, "pixels");
  add_layers(graph);
  OnnxGraph::set(graph.add("Softmax", {}, "probabilities"), "axis", std::int64_t{1});
  try {
    onnx::checker::check_model(file);
  } catch (const std::exception& error) {
    throw ModelError(fmt::format("the checker of libonnx refuses the file ({})", error.what()));
  }
  return file.SerializeAsString();
}

std::string to_onnx(const Model& model) {
  return onnx_file(model, metadata_of(model), [&](OnnxGraph& graph) {
    for (const auto& [name, tensor] : tensors_of(model)) graph.add_tensor(name, tensor);
    const std::vector<LayerSpec> layers = model.network->architecture().layers();
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto name = [&](const char* tensor) { return fmt::format("{}.{}", i, tensor); };
      switch (layers[i].kind) {
        case LayerSpec::Kind::linear:
          OnnxGraph::set(graph.add("Gemm", {name("weight"), name("bias")}, name("linear")), "transB",
                         std::int64_t{1});
          break;
        case LayerSpec::Kind::activation:
          graph.add(onnx_operator(layers[i].activation), {}, name(name_of(layers[i].activation)));
          break;
        case LayerSpec::Kind::batch_norm:
          OnnxGraph::set(graph.add("BatchNormalization",
                                   {name("weight"), name("bias"), name("running_mean"), name("running_var")},
                                   name("batch_norm")),
                         "epsilon", static_cast<float>(batch_norm_eps));
          break;
      }
    }
  });
}

#else

bool onnx_available() {
  return false;
}

namespace {

[[noreturn]] void refuse_onnx() {
  throw Error(
      "format",
      "this handgrad was built without ONNX; install libonnx-dev and libprotobuf-dev and build again");
}

}  // namespace

std::string to_onnx(const Model& /*model*/) {
  refuse_onnx();
}

std::string to_int8_onnx(const Model& /*model*/, const QuantisedNetwork& /*network*/) {
  refuse_onnx();
}

#endif

}  // namespace handgrad
