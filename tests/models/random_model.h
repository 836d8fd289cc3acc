// Networks with random parameters and running statistics, as if trained; the same ones every time.
#pragma once

#include "handgrad/models/model.h"

namespace handgrad {

inline Model random_model(const Architecture& architecture, ImageShape shape, std::int64_t networks = 1) {
  at::manual_seed(7);  // LibTorch itself seeds its generator anew in each process
  Model model{std::make_unique<Network>(architecture, networks, at::kFloat), {}};
  model.network->parameters.flat.normal_(0, 0.5);
  model.network->running.flat.uniform_(0.5, 1.5);
  model.info = {shape, R"({"seed":3})", 0.875, false};
  return model;
}

}  // namespace handgrad
