// Batch norm's statistics of a whole set in place of the running averages of training, which are of augmented
// images and of networks that were (Ioffe and Szegedy, 2015, algorithm 2).
#pragma once

#include "handgrad/data/dataset.h"
#include "handgrad/nn/network.h"

namespace handgrad {

// Sets the network's running means and unbiased variances to those of the set, layer by layer: what a layer
// gets is normalised by the new statistics of those before it.
void reestimate_statistics(Network& network, const Examples& examples);

}  // namespace handgrad
