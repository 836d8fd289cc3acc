// A network as C99 source for machines that have nothing else: no allocation, no dependency but expf.
#pragma once

#include <filesystem>
#include <string>

#include "handgrad/models/model.h"

namespace handgrad {

// What the names in the header of this file begin with: its stem, made a C identifier.
std::string c_prefix(const std::filesystem::path& path);

// The header of the only network. Throws ModelError where its numbers leave float32. With prefix P it has the
// constants P_inputs, P_rows, P_columns, P_classes and
//   void P_logits(float logits[P_classes], const float pixels[P_inputs])            pixels in [0, 1]
//   void P_logits_of_bytes(float logits[P_classes], const unsigned char pixels[P_inputs])   in 0-255
//   void P_softmax(float values[P_classes])                                         logits → probabilities
//   int P_best(const float values[P_classes])                                       the class
std::string to_c_header(const Model& model, const std::string& prefix);

}  // namespace handgrad
