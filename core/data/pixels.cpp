// Pixels as the input of a network.
#include "handgrad/data/pixels.h"

#include <cmath>
#include <vector>

namespace handgrad {

void scale_pixels(Tensor& images, const Tensor& pixels) {
  images.copy_(pixels).mul_(constant(1.0 / 255, images));
}

Brightness brightness_of(const Tensor& pixels) {
  // How many pixels have which value, a sum that is exact in any order.
  const Tensor counts = at::bincount(pixels.flatten(), {}, 256).to(at::kCPU, at::kDouble);
  const Tensor shares = counts / static_cast<double>(pixels.numel());
  const Tensor values = at::arange(256, at::kDouble) / 255;
  const auto mean = (shares * values).sum().item<double>();
  const auto variance = (shares * (values - mean).square()).sum().item<double>();
  return {mean, std::sqrt(variance)};
}

Standardisation standardisation_of(const Tensor& pixels, const Tensor& rows,
                                   const at::TensorOptions& options) {
  std::vector<double> means;
  std::vector<double> deviations;
  for (std::int64_t lane = 0; lane < rows.size(0); ++lane) {
    const Brightness of_lane = brightness_of(pixels.index_select(0, rows[lane]));
    means.push_back(of_lane.mean);
    deviations.push_back(of_lane.deviation > 0 ? of_lane.deviation : 1);
  }
  return {at::tensor(means, at::kDouble).unsqueeze(1).to(options),
          at::tensor(deviations, at::kDouble).unsqueeze(1).to(options)};
}

void standardise(Tensor& images, const Standardisation& by) {
  if (!by.defined()) return;
  images.sub_(by.mean).div_(by.deviation);
}

}  // namespace handgrad
