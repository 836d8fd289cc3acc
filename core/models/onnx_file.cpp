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
  const std::int64_t modules_per_layer = architecture.batch_norm ? 3 : 2;
  for (std::int64_t l = 0; l < architecture.layers(); ++l) {
    const auto tensor = [&, index = l * modules_per_layer](int module, const char* name) {
      return fmt::format("{}.{}", index + module, name);
    };
    onnx::NodeProto& linear =
        graph.add("Gemm", {tensor(0, "weight"), tensor(0, "bias")}, tensor(0, "linear"));
    Graph::set(linear, "transB", std::int64_t{1});
    if (l + 1 == architecture.layers()) break;
    graph.add("Relu", {}, tensor(1, "relu"));
    if (architecture.batch_norm) {
      onnx::NodeProto& batch_norm = graph.add(
          "BatchNormalization",
          {tensor(2, "weight"), tensor(2, "bias"), tensor(2, "running_mean"), tensor(2, "running_var")},
          tensor(2, "batch_norm"));
      Graph::set(batch_norm, "epsilon", static_cast<float>(batch_norm_eps));
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
