// y = x Wᵀ + b of R networks.
#include "handgrad/nn/layers/linear.h"

#include <algorithm>
#include <utility>

#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

// The smallest products cost their call, not their arithmetic: so many are worth waking a thread for.
constexpr double most_products_per_thread = 16;

// Of one product, where there are several threads anyway: about 10 µs.
constexpr double least_flops_of_part = 1e6;

// Runs `work` for all items, `grain` of them at a time on one thread.
template <typename Item, typename Work>
void for_each(std::vector<Item>& items, std::int64_t grain, const Work& work) {
  const auto count = static_cast<std::int64_t>(items.size());
  share_out((count + grain - 1) / grain, [&](std::int64_t part) {
    const std::int64_t end = std::min(count, (part + 1) * grain);
    for (std::int64_t i = part * grain; i < end; ++i) work(items[static_cast<std::size_t>(i)]);
  });
}

std::int64_t products_per_thread(double flops_of_product) {
  return static_cast<std::int64_t>(
      std::clamp(flops_per_thread / flops_of_product, 1.0, most_products_per_thread));
}

// Of the product of all networks.
double flops(const Tensor& y, const Tensor& weight) {
  return 2.0 * static_cast<double>(y.size(0) * weight.numel());
}

}  // namespace

Linear::Linear(const Tensor& y, const Tensor& dy, const Tensors& tensors, const Layer* below,
               std::int64_t lanes, const BatchPart& batch)
    : Layer(y, dy),
      lanes_(lanes),
      first_(below == nullptr),
      in_shards_(batch.all_shards > 1),
      bias_(tensors.bias) {
  Operands all;
  all.y = y;
  all.dy = dy;
  all.weight = tensors.weight;
  if (!first_) {
    all.x = below->y;
    all.dx = below->dy;
  }
  for (std::size_t v = 0; v < batch.shards.size(); ++v) {
    all.dweight = tensors.dweight[v];
    if (!in_shards_) {
      add_products(all);
    } else if (batch.shards[v].images > 0) {
      add_products(part(all, batch.shards[v]));
    }
  }
}

Linear::Operands Linear::part(const Operands& all, const Shard& shard) {
  Operands part = all;
  part.source.shard = shard;
  for (Tensor* tensor : {&part.y, &part.x, &part.dx, &part.dy}) {
    if (tensor->defined()) *tensor = shard.of(*tensor);
  }
  return part;
}

void Linear::add_products(const Operands& all) {
  if (first_ && lanes_ > 1) {
    lane_by_lane(all);
  } else if (!first_ && all.y.is_cuda()) {
    batched(all);
  } else if (!first_ && all.y.size(1) > 1) {
    network_by_network(all);
  } else {
    as_one_wide_layer(all);
  }
}

void Linear::add(const Operands& product) {
  const Matrix weight = product.weight.defined() ? Matrix(product.weight) : Matrix();
  if (product.y.defined()) {
    ForwardProduct forward;
    forward.y = product.y;
    forward.x = product.x;
    forward.weight = weight;
    forward.bias = product.bias;
    forward.source = product.source;
    forward_.push_back(forward);
  }
  if (product.dy.defined()) {
    BackwardProduct backward;
    backward.dx = product.dx;
    backward.dweight = product.dweight;
    backward.dy = product.dy;
    backward.x = product.x;
    backward.weight = weight;
    backward.source = product.source;
    backward_.push_back(backward);
  }
}

// The networks of a lane, which read the same input, are one wide layer.
void Linear::lane_by_lane(const Operands& all) {
  const auto by_lane = [&](const Tensor& units) {
    return units.flatten(1).unflatten(1, {lanes_, -1}).transpose(0, 1);
  };
  const auto weights = [&](const Tensor& weight) { return weight.view({lanes_, -1, weight.size(2)}); };
  Operands lanes;
  lanes.source = all.source;
  lanes.y = by_lane(all.y);
  lanes.weight = weights(all.weight);
  lanes.dweight = weights(all.dweight);
  if (all.dy.defined()) lanes.dy = by_lane(all.dy);
  if (lanes.y.is_cuda()) return add(lanes);
  for (std::int64_t k = 0; k < lanes_; ++k) {
    Operands lane;
    lane.source = {all.source.shard, k};
    lane.y = lanes.y[k];
    lane.weight = lanes.weight[k];
    lane.dweight = lanes.dweight[k];
    if (lanes.dy.defined()) lane.dy = lanes.dy[k];
    add(lane);
  }
}

// One batched product over a leading replica axis.
void Linear::batched(const Operands& all) {
  Operands networks;
  networks.y = all.y.transpose(0, 1);
  networks.x = all.x.transpose(0, 1);
  networks.weight = all.weight;
  if (all.dy.defined()) {
    networks.dx = all.dx.transpose(0, 1);
    networks.dweight = all.dweight;
    networks.dy = all.dy.transpose(0, 1);
  }
  add(networks);
}

// On a CPU one product per network is faster than a batched one.
void Linear::network_by_network(const Operands& all) {
  const std::int64_t replicas = all.y.size(1);
  grain_ = products_per_thread(flops(all.y, all.weight) / static_cast<double>(replicas));
  for (std::int64_t r = 0; r < replicas; ++r) {
    Operands network;
    network.y = all.y.select(1, r);
    network.x = all.x.select(1, r);
    network.weight = all.weight.select(0, r);
    if (all.dy.defined()) {
      network.dx = all.dx.select(1, r);
      network.dweight = all.dweight.select(0, r);
      network.dy = all.dy.select(1, r);
    }
    add(network);
  }
}

// One product: of the only network, or of all that read the same input, which are one wide layer.
void Linear::as_one_wide_layer(const Operands& all) {
  Operands wide;
  wide.source = all.source;
  wide.y = all.y.flatten(1);
  wide.weight = all.weight.flatten(0, 1);
  if (all.x.defined()) wide.x = all.x.flatten(1);
  if (all.dy.defined()) {
    wide.dweight = all.dweight.flatten(0, 1);
    wide.dy = all.dy.flatten(1);
    if (all.dx.defined()) wide.dx = all.dx.flatten(1);
  }
  const double flops_of_all = flops(all.y, all.weight);
  if (in_shards_) grain_ = products_per_thread(flops_of_all);
  const bool whole = all.y.is_cuda() || in_shards_;
  const auto parts = static_cast<std::int64_t>(
      whole ? 1 : std::clamp<double>(flops_of_all / least_flops_of_part, 1, threads()));
  if (parts == 1) return add(wide);
  add_parts_of(wide, parts);
}

// Threads share the outputs, and of dx the inputs, so that each part reads its part of the weights; where there are few
// outputs, images and inputs.
void Linear::add_parts_of(const Operands& wide, std::int64_t parts) {
  constexpr std::int64_t images = 0;
  constexpr std::int64_t outputs = 0;  // of weights
  constexpr std::int64_t units = 1;    // those of y are the outputs, those of x the inputs
  const bool few_outputs = !first_ && wide.y.size(units) < wide.y.size(images);
  const auto share = [](const Tensor& of, std::int64_t axis, std::int64_t count, std::int64_t i) {
    const std::int64_t begin = of.size(axis) * i / count;
    return of.narrow(axis, begin, of.size(axis) * (i + 1) / count - begin);
  };
  const Tensor bias = std::exchange(bias_, Tensor()).flatten();
  for (std::int64_t i = 0; i < parts; ++i) {
    Operands forward;
    forward.y = share(wide.y, few_outputs ? images : units, parts, i);
    forward.x = few_outputs ? share(wide.x, images, parts, i) : wide.x;
    forward.weight = few_outputs ? wide.weight : share(wide.weight, outputs, parts, i);
    forward.bias = few_outputs ? bias : share(bias, 0, parts, i);
    add(forward);
  }
  if (!wide.dy.defined()) return;
  // Halves of the threads do each of two products that take about as long, so that these are cut less.
  const bool halves = wide.dx.defined() && parts == threads() && parts % 2 == 0;
  const std::int64_t backward_parts = halves ? parts / 2 : parts;
  for (std::int64_t i = 0; i < backward_parts; ++i) {
    Operands of_weights;
    of_weights.dweight = share(wide.dweight, few_outputs ? units : outputs, backward_parts, i);
    of_weights.dy = few_outputs ? wide.dy : share(wide.dy, units, backward_parts, i);
    of_weights.x = few_outputs ? share(wide.x, units, backward_parts, i) : wide.x;
    add(of_weights);
  }
  for (std::int64_t i = 0; i < backward_parts && wide.dx.defined(); ++i) {
    Operands of_inputs;
    of_inputs.dx = share(wide.dx, units, backward_parts, i);
    of_inputs.dy = wide.dy;
    of_inputs.weight = share(wide.weight, units, backward_parts, i);
    add(of_inputs);
  }
}

void Linear::set_input(const Tensor& x) {
  const auto input_of = [&](const Source& source) {
    Tensor part = source.shard.images == 0 ? x : source.shard.of(x);
    if (lanes_ == 1) return part;
    return x.is_cuda() ? part.transpose(0, 1) : part.select(1, source.lane);
  };
  for (ForwardProduct& product : forward_) product.x = input_of(product.source);
  for (BackwardProduct& product : backward_) product.x = input_of(product.source);
}

void Linear::forward(Use /*use*/) {
  for_each(forward_, grain_, [](ForwardProduct& p) {
    linear_forward(p.y, p.x, p.weight);
    if (p.bias.defined()) bias_forward(p.y, p.bias);
  });
  if (bias_.defined()) bias_forward(y, bias_);
}

void Linear::backward() {
  for_each(backward_, grain_, [](BackwardProduct& p) {
    linear_backward(p.dx.defined() ? &p.dx : nullptr, p.dweight.defined() ? &p.dweight : nullptr, p.dy, p.x,
                    p.weight);
  });
}

}  // namespace handgrad
