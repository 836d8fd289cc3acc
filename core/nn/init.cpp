// Initial parameters.
#include "handgrad/nn/init.h"

#include <cmath>

#include "handgrad/base/random.h"

namespace handgrad {

void he_normal(Tensor& weight, std::int64_t fan, const std::vector<std::uint64_t>& seeds,
               std::uint64_t layer) {
  // Drawn in double on the CPU, so that every dtype and device starts from the same numbers.
  Tensor drawn = at::empty(weight.sizes(), at::kDouble);
  const double standard_deviation = std::sqrt(2.0 / static_cast<double>(fan));
  const std::int64_t per_network = weight.size(1) * weight.size(2);
  for (std::size_t r = 0; r < seeds.size(); ++r) {
    Random random(seeds[r], Stream::weights, layer);
    double* values = drawn.data_ptr<double>() + static_cast<std::int64_t>(r) * per_network;
    for (std::int64_t i = 0; i < per_network; ++i) values[i] = standard_deviation * random.normal();
  }
  weight.copy_(drawn);
}

}  // namespace handgrad
