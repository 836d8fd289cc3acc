// ONNX files: a graph of Flatten, Gemm, Relu, BatchNormalization and Softmax.
#include "handgrad/models/onnx_file.h"

#include "handgrad/base/errors.h"

#ifdef HANDGRAD_ONNX
#include <fmt/format.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>

#include "handgrad/platform/system.h"
#endif

namespace handgrad {

#ifdef HANDGRAD_ONNX

namespace {

constexpr int ir_version = 7;  // the one that came with opset 13

class Graph {
 public:
  explicit Graph(onnx::GraphProto& graph) : graph_(graph) {}

  // Adds a node that reads the last one's output and these tensors.
  onnx::NodeProto& add(const std::string& type, const std::vector<std::string>& tensors,
                       const std::string& output) {
    onnx::NodeProto& node = *graph_.add_node();
    node.set_op_type(type);
    node.set_name(output);
    node.add_input(last_);
    for (const std::string& tensor : tensors) node.add_input(tensor);
    node.add_output(output);
    last_ = output;
    return node;
  }

  void begin(const std::string& input) { last_ = input; }

  static void set(onnx::NodeProto& node, const char* name, std::int64_t value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(value);
  }

  static void set(onnx::NodeProto& node, const char* name, float value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(value);
  }

  void add_tensor(const std::string& name, const Tensor& values) {
    onnx::TensorProto& tensor = *graph_.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t size : values.sizes()) tensor.add_dims(size);
    tensor.set_raw_data(values.data_ptr(), values.nbytes());
  }

  // A float32 tensor of any batch.
  static void describe(onnx::ValueInfoProto& value, const std::string& name,
                       const std::vector<std::int64_t>& shape) {
    value.set_name(name);
    onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_param("batch");
    for (const std::int64_t size : shape) type.mutable_shape()->add_dim()->set_dim_value(size);
  }

 private:
  onnx::GraphProto& graph_;
  std::string last_;
};

const char* operator_of(Activation activation) {
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

}  // namespace

bool onnx_available() {
  return true;
}

std::string to_onnx(const Model& model) {
  const Architecture& architecture = model.network->architecture();
  onnx::ModelProto file;
  file.set_ir_version(ir_version);
  file.add_opset_import()->set_version(onnx_opset);
  file.set_producer_name("handgrad");
  file.set_producer_version(version());
  for (const auto& [key, value] : metadata_of(model)) {
    onnx::StringStringEntryProto& entry = *file.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  onnx::GraphProto& proto = *file.mutable_graph();
  proto.set_name(architecture.description());
  Graph::describe(*proto.add_input(), "images", {1, model.info.shape.rows, model.info.shape.columns});
  Graph::describe(*proto.add_output(), "probabilities", {architecture.classes});

  Graph graph(proto);
  for (const auto& [name, tensor] : tensors_of(model)) graph.add_tensor(name, tensor);
  graph.begin("images");
  graph.add("Flatten", {}, "pixels");
  const std::vector<LayerSpec> layers = architecture.layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto name = [&](const char* tensor) { return fmt::format("{}.{}", i, tensor); };
    switch (layers[i].kind) {
      case LayerSpec::Kind::linear:
        Graph::set(graph.add("Gemm", {name("weight"), name("bias")}, name("linear")), "transB",
                   std::int64_t{1});
        break;
      case LayerSpec::Kind::activation:
        graph.add(operator_of(layers[i].activation), {}, name(name_of(layers[i].activation)));
        break;
      case LayerSpec::Kind::batch_norm:
        Graph::set(graph.add("BatchNormalization",
                             {name("weight"), name("bias"), name("running_mean"), name("running_var")},
                             name("batch_norm")),
                   "epsilon", static_cast<float>(batch_norm_eps));
        break;
    }
  }
  Graph::set(graph.add("Softmax", {}, "probabilities"), "axis", std::int64_t{1});
  try {
    onnx::checker::check_model(file);
  } catch (const std::exception& error) {
    throw ModelError(fmt::format("the checker of libonnx refuses the file ({})", error.what()));
  }
  return file.SerializeAsString();
}

#else

bool onnx_available() {
  return false;
}

std::string to_onnx(const Model& /*model*/) {
  throw Error(
      "format",
      "this handgrad was built without ONNX; install libonnx-dev and libprotobuf-dev and build again");
}

#endif

}  // namespace handgrad
