// State dicts: the files of torch.save(model.state_dict(), file), out and in.
#pragma once

#include <string>
#include <string_view>

#include "handgrad/models/model.h"

namespace handgrad {

// The file of the only network, which torch.load(file, weights_only=True) reads as a plain dict for
// nn.Sequential.load_state_dict. The metadata lies beside it in the archive, as extra/metadata.json.
std::string to_state_dict(const Model& model);

// Whether a file is a zip archive, as state dicts and TorchScript files are; and which of the two.
bool is_archive(std::string_view file);
bool is_torchscript(std::string_view archive, const std::string& name);

// A file of a dict of tensors, also one that Python wrote. Runs nothing of it. Throws ModelError where the
// file is damaged, holds anything else, or a network that model_from_tensors refuses.
Model parse_state_dict(std::string_view bytes, const std::string& name);

}  // namespace handgrad
