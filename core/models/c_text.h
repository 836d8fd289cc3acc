// What the C headers of networks have in common, whatever numbers they compute with. In code a @ stands for the
// prefix of all names.
#pragma once

#include <string>
#include <vector>

#include "handgrad/models/model.h"

namespace handgrad {

void replace_all(std::string& text, const std::string& mark, const std::string& by);

// static const TYPE NAME[…] = {…}; of numbers as C has them.
std::string c_array(const std::string& type, const std::string& name,
                    const std::vector<std::string>& numbers);

std::string c_sizes(const Model& model);     // the constants P_rows, P_columns, P_inputs, P_classes, and the
                                             // array P_class_names where the classes have names
extern const char* const c_softmax;          // P_softmax and P_best
extern const char* const c_deskew;           // P_deskew: what deskewed() does
extern const char* const c_logits_by_bytes;  // P_logits by P_logits_of_bytes

// The whole file, whose first line is a comment of this summary; after it comes what is known of the model.
std::string c_file(const Model& model, const std::string& summary, const std::string& includes,
                   std::string code, const std::string& prefix);

}  // namespace handgrad
