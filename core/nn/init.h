// Initial parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/nn/ops.h"

namespace handgrad {

// Fills `weight` [R,out,in] with W ~ N(0, 2 / fan); fan is fan_in = in (He et al., 2015, equation 10;
// torch.nn.init.kaiming_normal_), or fan_out = out. Slice r is drawn from seeds[r] and `layer` alone.
void he_normal(Tensor& weight, std::int64_t fan, const std::vector<std::uint64_t>& seeds,
               std::uint64_t layer);

}  // namespace handgrad
