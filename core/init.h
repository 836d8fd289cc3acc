// Initial parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "ops.h"

namespace handgrad {

// Fills `weight` [R,out,in] with W ~ N(0, 2 / fan_in), fan_in = in (He et al., 2015, equation 10;
// torch.nn.init.kaiming_normal_). Slice r is drawn from seeds[r] and `layer` alone.
void he_normal(Tensor& weight, const std::vector<std::uint64_t>& seeds, std::uint64_t layer);

}  // namespace handgrad
