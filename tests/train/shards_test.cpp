// Batches in shards: the gradients of the batch at once but for rounding, and the same bits whoever computes them.
#include "handgrad/nn/shards.h"

#include <numeric>

#include "check/rows.h"
#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/check/gradcheck.h"
#include "handgrad/platform/threads.h"
#include "handgrad/train/trainer.h"
#include "relative_error.h"
#include "test.h"

using namespace handgrad;

namespace {

std::vector<std::uint64_t> numbers_from(std::uint64_t first, std::int64_t count) {
  std::vector<std::uint64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

// A batch of random images and targets, for networks in lanes.
struct RandomBatch {
  RandomBatch(std::int64_t images, std::int64_t replicas, std::int64_t lanes)
      : x(at::rand({images, lanes, 12}, at::kDouble)),
        targets(at::one_hot(at::randint(4, {images, lanes}, at::kLong), 4)
                    .to(at::kDouble)
                    .repeat_interleave(replicas / lanes, 1)) {
    if (lanes == 1) x = x.squeeze(1);
  }

  Tensor x, targets;
};

struct Derived {
  Tensor loss, gradients, running;
};

Derived derive(const Architecture& architecture, const RandomBatch& batch, std::int64_t replicas,
               std::int64_t lanes, std::int64_t shards) {
  NetworkOptions options;
  options.shards = shards;
  options.dropout = {0.1, 0.2};
  Network network(architecture, replicas, at::kDouble, options);
  network.initialise(numbers_from(1, replicas));
  Workspace workspace(network, batch.x.size(0), Use::training, lanes);
  workspace.draw_dropout(numbers_from(1, replicas), numbers_from(1, lanes), 0);
  network.gradients.flat.fill_(std::nan(""));
  if (shards > 1) network.shard_gradients.all.fill_(std::nan(""));
  Derived derived;
  derived.loss = at::empty({replicas}, at::kDouble);
  network.forward_backward(workspace, batch.x, batch.targets, L2({0.1}, network.parameters), &derived.loss);
  derived.gradients = network.gradients.flat;
  derived.running = network.running.flat;
  return derived;
}

}  // namespace

TEST_CASE("a batch is cut into shards of equal size, as far as that goes", "[shards]") {
  const auto sizes = [](std::int64_t images, std::int64_t shards) {
    std::vector<std::int64_t> sizes;
    std::int64_t end = 0;
    for (const Shard& shard : cut(images, shards)) {
      CHECK(shard.begin == end);
      end += shard.images;
      sizes.push_back(shard.images);
    }
    CHECK(end == images);
    return sizes;
  };
  CHECK(sizes(32, 1) == std::vector<std::int64_t>{32});
  CHECK(sizes(32, 4) == std::vector<std::int64_t>{8, 8, 8, 8});
  CHECK(sizes(7, 3) == std::vector<std::int64_t>{2, 2, 3});
  CHECK(sizes(2, 4) == std::vector<std::int64_t>{0, 1, 0, 1});
  CHECK_THROWS_AS(cut(2, 0), ArgumentError);
}

TEST_CASE("parts are added up in an order that their number alone decides", "[shards]") {
  // Of numbers whose sum depends on the order.
  const Tensor parts = at::rand({7, 200000}, at::kFloat).add_(-0.5).mul_(1e4);
  const auto pair = [](const Tensor& a, const Tensor& b) { return a + b; };
  const Tensor expected = pair(pair(pair(parts[0], parts[1]), pair(parts[2], parts[3])),
                               pair(pair(parts[4], parts[5]), parts[6]));
  REQUIRE_FALSE(at::equal(expected, parts.sum(0)));
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    CHECK(at::equal(add_up(parts.clone()), expected));
  }
  set_threads(1);
}

TEST_CASE("gradients in shards are those of the batch at once", "[shards]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const auto [replicas, lanes] = GENERATE(table<std::int64_t, std::int64_t>({{1, 1}, {6, 1}, {6, 3}}));
  const std::int64_t shards = GENERATE(2, 3, 8);
  const std::int64_t images =
      GENERATE(24, 17, 5);  // of all shards alike, not quite, and fewer than of shards
  const Architecture architecture{12, {8, 6}, 4, batch_norm};
  CAPTURE(name_of(batch_norm), replicas, lanes, shards, images);
  const RandomBatch batch(images, replicas, lanes);
  const Derived whole = derive(architecture, batch, replicas, lanes, 1);
  const Derived parts = derive(architecture, batch, replicas, lanes, shards);
  CHECK(relative_error(parts.loss, whole.loss) <= 1e-12);
  CHECK(relative_error(parts.gradients, whole.gradients) <= 1e-10);
  if (architecture.has_batch_norm()) CHECK(relative_error(parts.running, whole.running) <= 1e-12);
}

TEST_CASE("a training in shards has the same bits with any number of threads", "[shards]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::before);
  const std::int64_t replicas = GENERATE(1, 3);
  const Dataset dataset = small_dataset(300, 60);
  const Splits data = split(dataset, {}, at::kFloat);
  TrainingOptions options;
  options.batch_size = 64;  // the last of an epoch has 48
  options.epochs = 2;
  options.learning_rate = {0.05};
  options.optimizer.kind = OptimizerOptions::Kind::adam;
  options.seeds = numbers_from(1, replicas);
  const auto trained = [&](int count, std::int64_t shards) {
    set_threads(count);
    NetworkOptions network_options;
    network_options.shards = shards;
    Network network({30, {700, 300}, 3, batch_norm}, replicas, at::kFloat, network_options);
    TrainingObserver nobody;
    const TrainingResult result = train(network, data, options, nobody);
    set_threads(1);
    Tensor losses = at::empty({replicas}, at::kDouble);
    for (std::int64_t r = 0; r < replicas; ++r) {
      losses[r] = result.replicas[static_cast<std::size_t>(r)].validation->loss;
    }
    return at::cat({network.parameters.flat, network.running.flat, losses});
  };
  const Tensor one = trained(1, 4);
  CHECK(at::equal(trained(2, 4), one));
  CHECK(at::equal(trained(3, 4), one));
  CHECK_FALSE(at::equal(trained(1, 1), one));
}

TEST_CASE("shards that batch norm normalises by themselves", "[shards]") {
  const std::int64_t images = GENERATE(24, 22);
  NetworkOptions options;
  options.shards = 4;
  options.batch_norm.statistics = BatchNormOptions::Statistics::shard;
  Network network({12, {8, 6}, 4, BatchNormPlace::after}, 2, at::kDouble, options);
  network.initialise({1, 2});
  const RandomBatch batch(images, 2, 1);
  Workspace workspace(network, images, Use::training);
  network.forward_backward(workspace, batch.x, batch.targets, L2({0}, network.parameters));
  const Tensor taken_in = workspace.linear_output(1);
  Tensor mean = at::zeros({2, 6}, at::kDouble);
  Tensor variance = at::zeros({2, 6}, at::kDouble);
  for (const Shard& shard : cut(images, 4)) {
    const double share = static_cast<double>(shard.images) / static_cast<double>(images);
    mean += share * shard.of(taken_in).mean(0);
    variance += share * shard.of(taken_in).var(0, /*unbiased=*/true);
  }
  CHECK(at::allclose(network.running.mean[1], 0.1 * mean, 1e-12, 1e-14));
  CHECK(at::allclose(network.running.var[1], 0.9 + 0.1 * variance, 1e-12, 1e-14));
  const auto too_few = [&] { Workspace(network, 7, Use::training); };
  CHECK_THROWS_WITH(too_few(), Catch::Contains("got 4; a batch of 7 images leaves fewer than 2 in a shard"));
  CHECK_NOTHROW(Workspace(network, 7, Use::evaluation));
}

TEST_CASE("the certificate of gradients in shards", "[shards][gradcheck]") {
  GradcheckOptions options;
  options.architecture = {12, {8, 6}, 4, GENERATE(BatchNormPlace::none, BatchNormPlace::after)};
  options.replicas = 2;
  options.batch_size = 22;
  options.network.shards = 4;
  options.network.batch_norm.statistics =
      GENERATE(BatchNormOptions::Statistics::batch, BatchNormOptions::Statistics::shard);
  options.dtype = GENERATE(at::kDouble, at::kFloat);
  SECTION("passes") {
    const GradientReport report = gradcheck(options);
    CHECK(failing_rows(report).empty());
    CHECK(report.passed());
  }
  SECTION("finds a shard that is left out") {
    options.subject.network_gradients = [](Network& network, Workspace& workspace, const Tensor& x,
                                           const Tensor& targets, const L2& l2) {
      network.forward_backward(workspace, x, targets, l2);
      // Nothing is added to the last row, which holds what its shard adds.
      network.gradients.weight[2].sub_(network.shard_gradients.of[3].weight[2]);
    };
    CHECK(failing_rows(gradcheck(options)) ==
          Rows{"network, 14 images: layer 3 weight", "network, 22 images: layer 3 weight"});
  }
}
