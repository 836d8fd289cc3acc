// Pixels as the input of a network.
#include "handgrad/data/pixels.h"

#include <cmath>
#include <vector>

namespace handgrad {

void scale_pixels(Tensor& images, const Tensor& pixels) {
  images.copy_(pixels).mul_(constant(1.0 / 255, images));
}

Standardisation standardisation_of(const Tensor& pixels, const Tensor& rows,
                                   const at::TensorOptions& options) {
  const Tensor values = at::arange(256, at::kDouble);
  std::vector<double> means;
  std::vector<double> deviations;
  for (std::int64_t lane = 0; lane < rows.size(0); ++lane) {
    // How many pixels have which value, a sum that is exact in any order.
    const Tensor of_lane = pixels.index_select(0, rows[lane]).flatten();
    const Tensor shares =
        at::bincount(of_lane, {}, 256).to(at::kCPU, at::kDouble) / static_cast<double>(of_lane.numel());
    const auto mean = (shares * values).sum().item<double>();
    const auto variance = (shares * (values - mean).square()).sum().item<double>();
    means.push_back(mean / 255);
    deviations.push_back(variance > 0 ? std::sqrt(variance) / 255 : 1);
  }
  return {at::tensor(means, at::kDouble).unsqueeze(1).to(options),
          at::tensor(deviations, at::kDouble).unsqueeze(1).to(options)};
}

void standardise(Tensor& images, const Standardisation& by) {
  images.sub_(by.mean).div_(by.deviation);
}

}  // namespace handgrad
