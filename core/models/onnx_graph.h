// An ONNX graph that grows node by node. For builds with libonnx alone.
#pragma once

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "handgrad/base/tensor.h"
#include "handgrad/data/image_shape.h"
#include "handgrad/models/model.h"

namespace handgrad {

class OnnxGraph {
 public:
  explicit OnnxGraph(onnx::GraphProto& graph) : graph_(graph) {}

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
  const std::string& last() const { return last_; }

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

  // Adds a node that reads these tensors, and gives its output a name of its own.
  std::string of(const std::string& type, const std::vector<std::string>& tensors) {
    last_ = tensors.front();
    std::string output = fmt::format("{}_{}", type, ++named_);
    add(type, {tensors.begin() + 1, tensors.end()}, output);
    return output;
  }

  // The same for a node with an attribute that is a whole number.
  std::string of(const std::string& type, const std::vector<std::string>& tensors, const char* attribute,
                 std::int64_t value) {
    std::string output = of(type, tensors);
    set(*graph_.mutable_node(graph_.node_size() - 1), attribute, value);
    return output;
  }

  // A contiguous tensor of one of the types of type_of.
  void add_tensor(const std::string& name, const Tensor& values) {
    onnx::TensorProto& tensor = *graph_.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type_of(values));
    for (const std::int64_t size : values.sizes()) tensor.add_dims(size);
    tensor.set_raw_data(values.data_ptr(), values.nbytes());
  }

  // The same with a name of its own.
  std::string constant(const Tensor& values) {
    std::string name = fmt::format("constant_{}", ++named_);
    add_tensor(name, values);
    return name;
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
  static onnx::TensorProto::DataType type_of(const Tensor& values) {
    if (values.scalar_type() == at::kLong) return onnx::TensorProto::INT64;
    if (values.scalar_type() == at::kInt) return onnx::TensorProto::INT32;
    if (values.scalar_type() == at::kChar) return onnx::TensorProto::INT8;
    if (values.scalar_type() == at::kByte) return onnx::TensorProto::UINT8;
    if (values.scalar_type() == at::kDouble) return onnx::TensorProto::DOUBLE;
    return onnx::TensorProto::FLOAT;
  }

  onnx::GraphProto& graph_;
  std::string last_;
  std::int64_t named_ = 0;
};

// The file of a model, checked by libonnx: the images as pixels [N,inputs], which are deskewed where the model's
// are; what add_layers makes of them, up to the logits; Softmax.
std::string onnx_file(const Model& model, const Metadata& metadata,
                      const std::function<void(OnnxGraph&)>& add_layers);

const char* onnx_operator(Activation activation);

// What deskewed() does, to images [N,1,rows,columns] of float32 in 0 to 1 that the last node gives; a number is
// taken for the nearest byte.
void add_deskew(OnnxGraph& graph, ImageShape shape);

}  // namespace handgrad
