// ONNX files, through libonnx where it was there when the library was built.
#pragma once

#include <string>

#include "handgrad/models/model.h"
#include "handgrad/models/quantised.h"

namespace handgrad {

constexpr int onnx_opset = 13;

// Whether this build can write them.
bool onnx_available();

// The file of the only network: opset 13; input "images", float32 [batch,1,rows,columns] in [0, 1], any
// batch; output "probabilities" [batch,C]; initializers named as the tensors of nn.Sequential; the metadata
// as metadata_props. It has passed libonnx's checker. Throws Error where this build has no libonnx,
// ModelError where the checker finds fault.
std::string to_onnx(const Model& model);

// The same of the network quantised from the model: bytes where it has bytes, between QuantizeLinear and
// DequantizeLinear, and the sums of its layers as float32 of the same whole numbers. A byte may round the other
// way where its sum is half way between two.
std::string to_int8_onnx(const Model& model, const QuantisedNetwork& network);

}  // namespace handgrad
