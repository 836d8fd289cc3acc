// ONNX files, through libonnx where it was there when the library was built.
#pragma once

#include <string>

#include "handgrad/models/model.h"

namespace handgrad {

constexpr int onnx_opset = 13;

// Whether this build can write them.
bool onnx_available();

// The file of the only network: opset 13; input "images", float32 [batch,1,rows,columns] in [0, 1], any
// batch; output "probabilities" [batch,C]; initializers named as the tensors of nn.Sequential; the metadata
// as metadata_props. It has passed libonnx's checker. Throws Error where this build has no libonnx,
// ModelError where the checker finds fault.
std::string to_onnx(const Model& model);

}  // namespace handgrad
