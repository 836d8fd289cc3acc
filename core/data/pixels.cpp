// Pixels as the input of a network.
#include "handgrad/data/pixels.h"

namespace handgrad {

void scale_pixels(Tensor& images, const Tensor& pixels) {
  images.copy_(pixels).mul_(constant(1.0 / 255, images));
}

}  // namespace handgrad
