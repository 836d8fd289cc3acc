// A quantised network as C99 source, for machines that count bytes: integers alone until the logits.
#pragma once

#include <string>

#include "handgrad/models/quantised.h"

namespace handgrad {

// The header of a network that was made of this model. With prefix P it has what to_c_header has, whose P_logits
// here takes each number for the nearest byte, and
//   void P_sums_of_bytes(int32_t sums[P_classes], const unsigned char pixels[P_inputs])   of which logits are a multiple
//   int P_class_of_bytes(const unsigned char pixels[P_inputs])                            the class, in integers
std::string to_int8_c_header(const Model& model, const QuantisedNetwork& network, const std::string& prefix);

}  // namespace handgrad
