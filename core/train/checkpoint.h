// The file of a checkpoint: safetensors with a format version and a checksum, so that a damaged file is known
// from a good one. Free of LibTorch.
#pragma once

#include <string>
#include <string_view>

#include "handgrad/models/safetensors.h"

namespace handgrad {

// The file with these contents. Throws what serialize_safetensors throws.
std::string seal_checkpoint(Safetensors contents);

// What a file holds; the tensors are views into it. Throws ModelError where it is damaged in any byte, or of
// another format version.
Safetensors open_checkpoint(std::string_view file, const std::string& name);

}  // namespace handgrad
