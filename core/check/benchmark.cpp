// Timings, interleaved: a machine that slows down slows all contenders of a round.
#include "handgrad/check/benchmark.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>

#include "handgrad/platform/cuda.h"
#include "handgrad/platform/workers.h"
#include "handgrad/train/stepper.h"

namespace handgrad {

namespace {

constexpr double round_us = 30000;
constexpr std::int64_t warm_up_steps = 3;
constexpr std::int64_t warm_up_steps_with_graphs = 64;  // each place in a block of batches is recorded

double microseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

// Something that takes steps, and the time of one step in each round.
class Contender {
 public:
  Contender(std::function<void()> step, at::Device device) : step_(std::move(step)), device_(device) {
    take(device.is_cpu() ? warm_up_steps : warm_up_steps_with_graphs);  // first uses allocate
    const double once = std::min(take(1), take(1));
    steps_per_round_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(round_us / once));
  }

  void take_round() { times_.push_back(take(steps_per_round_) / static_cast<double>(steps_per_round_)); }

  // Of `1 / divisor` of a step.
  Timing timing(double divisor = 1) const {
    std::vector<double> sorted = times_;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t half = sorted.size() / 2;
    const double median = sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    return {median / divisor, sorted.front() / divisor, sorted.back() / divisor};
  }

 private:
  double take(std::int64_t steps) const {
    return microseconds([&] {
      for (std::int64_t i = 0; i < steps; ++i) step_();
      wait_for(device_);
    });
  }

  std::function<void()> step_;
  at::Device device_;
  std::int64_t steps_per_round_;
  std::vector<double> times_;
};

std::vector<std::uint64_t> seeds_of(std::int64_t replicas) {
  std::vector<std::uint64_t> seeds(static_cast<std::size_t>(replicas));
  std::iota(seeds.begin(), seeds.end(), 1);
  return seeds;
}

// Without the images that make no whole batch. Throws where there is none.
Examples whole_batches(const Examples& examples, const Architecture& architecture, std::int64_t batch_size) {
  TrainingOptions options;
  options.batch_size = batch_size;
  validate(options, architecture, 1, examples.count());
  return examples.part(0, examples.count() - examples.count() % batch_size);
}

// Takes the steps of `train`.
class OurTraining {
 public:
  OurTraining(const Examples& examples, const Architecture& architecture, std::int64_t batch_size,
              std::int64_t replicas, bool with_help)
      : network_(architecture, replicas, examples.targets.options()),
        stepper_(network_, examples, options_of(batch_size, with_help)) {
    network_.initialise(seeds_of(replicas));
  }

  void step() {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    stepper_.advance(steps_++);
  }

 private:
  // with_help: of a second core, or of a graph.
  static TrainingOptions options_of(std::int64_t batch_size, bool with_help) {
    TrainingOptions options;
    options.prefetch = with_help;
    options.cuda_graph = with_help;
    options.batch_size = batch_size;
    return options;
  }

  Network network_;
  Stepper stepper_;
  std::int64_t steps_ = 0;
};

// The same network as a user of LibTorch writes it, its data shuffled by index_select.
class AutogradTraining {
 public:
  AutogradTraining(const Examples& examples, const Architecture& architecture, std::int64_t batch_size)
      : images_(examples.pixels.to(at::kFloat).div(255)),
        labels_(examples.targets.argmax(1)),
        batch_size_(batch_size) {
    for (const LayerSpec& layer : architecture.layers()) {
      switch (layer.kind) {
        case LayerSpec::Kind::linear:
          model_->push_back(torch::nn::Linear(layer.inputs, layer.outputs));
          break;
        case LayerSpec::Kind::activation:
          model_->push_back(torch::nn::ReLU());  // `bench` measures no other
          break;
        case LayerSpec::Kind::batch_norm:
          model_->push_back(torch::nn::BatchNorm1d(layer.outputs));
          break;
      }
    }
    model_->to(images_.device());
    const TrainingOptions training;
    optimizer_ = std::make_unique<torch::optim::SGD>(
        model_->parameters(), torch::optim::SGDOptions(training.learning_rate.front())
                                  .weight_decay(training.l2.front() / static_cast<double>(batch_size)));
  }

  void step() {
    if (!order_.defined() || position_ + batch_size_ > order_.size(0)) {
      order_ = torch::randperm(images_.size(0), images_.device());
      position_ = 0;
    }
    const Tensor chosen = order_.narrow(0, position_, batch_size_);
    position_ += batch_size_;
    optimizer_->zero_grad();
    const Tensor logits = model_->forward(images_.index_select(0, chosen));
    torch::nn::functional::cross_entropy(logits, labels_.index_select(0, chosen)).backward();
    optimizer_->step();
  }

 private:
  Tensor images_, labels_, order_;
  std::int64_t batch_size_;
  std::int64_t position_ = 0;
  torch::nn::Sequential model_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
};

// The products of a step, on tensors of their own.
class Products {
 public:
  Products(const Architecture& architecture, std::int64_t batch_size, at::Device device) {
    const auto random = [&](std::int64_t rows, std::int64_t columns) {
      return at::rand({rows, columns}, device);
    };
    for (std::int64_t l = 0; l < architecture.linear_layers(); ++l) {
      const std::int64_t in = architecture.fan_in(l);
      const std::int64_t out = architecture.fan_out(l);
      layers_.push_back({random(batch_size, in), random(out, in), random(batch_size, out),
                         random(batch_size, out), random(out, in), random(batch_size, in)});
    }
  }

  void step() {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      Layer& layer = layers_[l];
      linear_forward(layer.y, layer.x, layer.weight);
      linear_backward(l == 0 ? nullptr : &layer.dx, &layer.dweight, layer.dy, layer.x, layer.weight);
    }
  }

 private:
  struct Layer {
    Tensor x;
    Matrix weight, dy;
    Tensor y, dweight, dx;
  };
  std::vector<Layer> layers_;
};

// A product of two square matrices: the speed that the machine reaches when nothing else is in the way.
class Peak {
 public:
  explicit Peak(at::Device device)
      : size_(device.is_cpu() ? 512 : 4096),
        a_(at::rand({size_, size_}, device)),
        b_(at::rand({size_, size_}, device)),
        c_(at::rand({size_, size_}, device)) {}

  void step() {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    at::mm_out(c_, a_, b_);
  }

  double flops() const { return 2.0 * std::pow(static_cast<double>(size_), 3); }

 private:
  std::int64_t size_;
  Tensor a_, b_, c_;
};

void take_rounds(std::deque<Contender>& contenders, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (Contender& contender : contenders) contender.take_round();
  }
}

}  // namespace

double step_flops(const Architecture& architecture, std::int64_t batch_size) {
  double flops = 0;
  for (std::int64_t l = 0; l < architecture.linear_layers(); ++l) {
    const auto weights = static_cast<double>(architecture.fan_in(l) * architecture.fan_out(l));
    flops += 2.0 * (l == 0 ? 2 : 3) * static_cast<double>(batch_size) * weights;
  }
  return flops;
}

double StepBenchmark::gflops(double step_us) const {
  return step_flops(architecture, batch_size) / step_us / 1e3;
}

StepBenchmark benchmark_step(const Examples& all_examples, const Architecture& architecture,
                             std::int64_t batch_size, const std::vector<std::int64_t>& replicas, bool peers,
                             int rounds) {
  const Examples examples = whole_batches(all_examples, architecture, batch_size);
  StepBenchmark result;
  result.architecture = architecture;
  result.batch_size = batch_size;
  result.device = examples.pixels.device();
  const OwnStream stream(result.device);
  std::deque<Contender> contenders;  // does not move what it holds
  const auto add = [&](const auto& shared) {
    return &contenders.emplace_back([shared] { shared->step(); }, result.device);
  };
  const auto ours = [&](std::int64_t count, bool with_help) {
    return std::make_shared<OurTraining>(examples, architecture, batch_size, count, with_help);
  };
  const auto peak = std::make_shared<Peak>(result.device);
  const Contender* floor = add(peak);
  const Contender* step_alone = add(ours(1, false));
  const Contender* step = peers ? add(ours(1, true)) : nullptr;
  const Contender* products =
      peers ? add(std::make_shared<Products>(architecture, batch_size, result.device)) : nullptr;
  const Contender* autograd =
      peers ? add(std::make_shared<AutogradTraining>(examples, architecture, batch_size)) : nullptr;
  std::vector<const Contender*> ensembles;
  // On the CPU every core has networks of its own to train.
  const bool with_help = !result.device.is_cpu();
  for (const std::int64_t count : replicas) ensembles.push_back(add(ours(count, with_help)));
  take_rounds(contenders, rounds);

  result.floor = floor->timing(peak->flops() / step_flops(architecture, batch_size));
  result.step_alone = step_alone->timing();
  if (peers) {
    result.step = step->timing();
    result.products = products->timing();
    result.autograd = autograd->timing();
  }
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    result.replica.emplace_back(replicas[i], ensembles[i]->timing(static_cast<double>(replicas[i])));
  }
  return result;
}

WorkersBenchmark benchmark_workers(const Examples& all_examples, const Architecture& architecture,
                                   std::int64_t batch_size, std::int64_t replicas, int rounds) {
  constexpr int steps = 50;
  const Examples examples = whole_batches(all_examples, architecture, batch_size);
  OurTraining first(examples, architecture, batch_size, replicas, false);
  OurTraining second(examples, architecture, batch_size, replicas, false);
  const auto job = [](OurTraining& training) {
    return [&training] {
      for (int i = 0; i < steps; ++i) training.step();
    };
  };
  const std::vector<std::function<void()>> jobs = {job(first), job(second)};
  std::deque<Contender> contenders;
  for (const int workers : {1, 2}) {
    contenders.emplace_back([&jobs, workers] { run_jobs(jobs, workers); }, at::Device(at::kCPU));
  }
  take_rounds(contenders, rounds);
  return {replicas, contenders[0].timing(steps), contenders[1].timing(steps)};
}

}  // namespace handgrad
