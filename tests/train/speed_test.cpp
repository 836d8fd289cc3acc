// What keeps a step fast, checked without a clock: it allocates no tensor and calls few operations; and what
// threads do changes no result.
#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <dlfcn.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

#include "data/small_data.h"
#include "handgrad/check/benchmark.h"
#include "handgrad/data/batches.h"
#include "handgrad/platform/products.h"
#include "handgrad/platform/resources.h"
#include "handgrad/platform/threads.h"
#include "handgrad/platform/workers.h"
#include "handgrad/train/stepper.h"
#include "handgrad/train/trainer.h"
#include "relative_error.h"
#include "test.h"
#include "train/operator_new.h"
#include "train/storage_counter.h"

using namespace handgrad;
using Catch::Contains;

namespace {

// Of one step of the default network whose batch has been gathered, where the BLAS cannot be called past LibTorch: at most 11
// products, 4 biases and 1 for their gradients. Elsewhere none.
constexpr std::size_t calls_of_blas = 16;

// What LibTorch allocates within these is 5.3 in version 1.13, and was 11.3 in 2.6 when it did the products too:
// iterators and views, no tensor storage; 3.4 in 1.13 since loops of ours take the numbers one by one.
constexpr double most_operator_new_calls = TORCH_VERSION_MAJOR >= 2 ? 13 : 5;

// The operations that `work` calls, without those that LibTorch calls for them.
thread_local std::vector<std::string> recorded_calls;
thread_local int calls_in_progress = 0;

template <typename Work>
std::vector<std::string> operators_called_by(const Work& work) {
  recorded_calls.clear();
  const auto begin = [](const at::RecordFunction& function) {
    if (calls_in_progress++ == 0) recorded_calls.emplace_back(function.name());
    return std::unique_ptr<at::ObserverContext>();
  };
  const auto end = [](const at::RecordFunction&, at::ObserverContext*) { --calls_in_progress; };
  const at::CallbackHandle handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback(begin, end).scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  return recorded_calls;
}

// Called by each product in float64 of matrices.
std::function<void()> product_observer;

Splits mnist_sized(std::int64_t train, at::ScalarType dtype = at::kFloat) {
  return split(small_dataset(train, 20, 28, 28, 10), {SplitOptions::Kind::official, 0.0, 1}, dtype);
}

const std::vector<OptimizerOptions::Kind> all_optimizers = {
    OptimizerOptions::Kind::sgd, OptimizerOptions::Kind::momentum, OptimizerOptions::Kind::nesterov,
    OptimizerOptions::Kind::adam, OptimizerOptions::Kind::adamw};

}  // namespace

// Stands before the BLAS's own, which it calls: this program exports it.
extern "C" void dgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
                       const double* alpha, const double* a, const int* lda, const double* b, const int* ldb,
                       const double* beta, double* c, const int* ldc) {
  static const auto of_blas = reinterpret_cast<decltype(&dgemm_)>(dlsym(RTLD_NEXT, "dgemm_"));
  if (product_observer) product_observer();
  of_blas(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

TEST_CASE("the counters count", "[speed]") {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  Tensor a = at::ones({2, 2});
  CHECK(storages_of([&] { a.add_(a); }).allocated == 0);
  CHECK(storages_of([&] { a.mul_(2.0); }).allocated > 0);  // why ops.cpp has `constant`
  CHECK(operators_called_by([&] { a.add_(a); }) == std::vector<std::string>{"aten::add_"});
}

TEST_CASE("a thousand steps allocate no tensor storage", "[speed]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const std::int64_t replicas = GENERATE(1, 3);
  const OptimizerOptions::Kind kind = GENERATE(from_range(all_optimizers));
  const Splits splits = mnist_sized(850);  // 27 steps an epoch, the last of 18 images
  TrainingOptions options;
  options.optimizer.kind = kind;
  if (kind == OptimizerOptions::Kind::adamw) options.optimizer.weight_decay = 0.01;
  Network network({784, {20, 7, 5}, 10, batch_norm}, replicas, at::kFloat);
  network.initialise(std::vector<std::uint64_t>(static_cast<std::size_t>(replicas), 1));
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  Stepper stepper(network, splits.train, options);
  const auto take_steps = [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t step = from; step < to; ++step) {
      stepper.differentiate(step);
      stepper.update();
    }
  };
  take_steps(0, 30);  // the factors that ops.cpp keeps are made once
  const std::int64_t news_before = operator_new_calls();
  CHECK(storages_of([&] { take_steps(30, 1030); }).allocated == 0);
  if (batch_norm == BatchNormPlace::none && replicas == 1 && kind == OptimizerOptions::Kind::sgd) {
    const double news_per_step = static_cast<double>(operator_new_calls() - news_before) / 1000;
    WARN(fmt::format("operator new: {:.1f} calls a step, of the default network", news_per_step));
    CHECK(news_per_step <= most_operator_new_calls);
  }
}

TEST_CASE("a step calls no operation of LibTorch where the BLAS is at hand", "[speed]") {
  const Splits splits = mnist_sized(320);
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  Network network({784, {20, 7, 5}, 10, BatchNormPlace::none}, 1, at::kFloat);
  network.initialise({1});
  TrainingOptions options;
  Stepper stepper(network, splits.train, options);
  const auto step = [&](std::int64_t number) {
    stepper.differentiate(number);
    stepper.update();
  };
  step(0);  // gathers a block of batches, which step 1 is in
  const std::vector<std::string> calls = operators_called_by([&] { step(1); });
  CAPTURE(calls);
  CHECK(calls.size() <= (has_blas() ? 0 : calls_of_blas));
}

TEST_CASE("batches are the same whoever gathers them", "[speed]") {
  const std::int64_t batch_size = GENERATE(1, 7, 32, 600, 1000);
  const Splits splits = split(small_dataset(1000, 9), {SplitOptions::Kind::official, 0.0, 1}, at::kDouble);
  const Examples& examples = splits.train;
  Batches in_line(examples, 1, batch_size, {5}, true, false);
  Batches ahead(examples, 1, batch_size, {5}, true, true);
  const auto check_step = [&](std::int64_t step) {
    const std::int64_t position = step % in_line.per_epoch();
    const std::vector<std::int64_t> order = epoch_order(1000, 5, step / in_line.per_epoch());
    const Tensor chosen = at::tensor(order).slice(0, position * batch_size, (position + 1) * batch_size);
    for (Batches* batches : {&in_line, &ahead}) {
      const Batch& batch = batches->at(step);
      CHECK(at::allclose(batch.images, examples.pixels.index_select(0, chosen).to(at::kDouble) / 255, 0,
                         1e-15));
      CHECK(at::equal(batch.targets.squeeze(1), examples.targets.index_select(0, chosen)));
    }
    CHECK(at::equal(in_line.at(step).images, ahead.at(step).images));
  };
  const std::int64_t steps = std::min<std::int64_t>(3 * in_line.per_epoch(), 400);
  for (std::int64_t step = 0; step < steps; ++step) check_step(step);
  // As when training looks back for where a fault began.
  for (const std::int64_t step : {std::int64_t{0}, steps - 1, steps / 2, steps / 2, std::int64_t{1}})
    check_step(step);
}

TEST_CASE("prefetching changes no bit of a trained network", "[speed]") {
  const Splits splits = mnist_sized(850);
  const auto trained = [&](bool prefetch) {
    TrainingOptions options;
    options.epochs = 3;
    options.seeds = {1, 2};
    options.prefetch = prefetch;
    Network network({784, {20, 7, 5}, 10, BatchNormPlace::after}, 2, at::kFloat);
    TrainingObserver nobody;
    train(network, splits, options, nobody);
    return network.parameters.flat.clone();
  };
  CHECK(at::equal(trained(false), trained(true)));
}

namespace {

// Of two steps with batches of 128 images, the second smaller.
Tensor gradients_by(int threads, const Architecture& architecture, std::int64_t replicas,
                    at::ScalarType type) {
  set_threads(threads);
  std::vector<std::uint64_t> seeds(static_cast<std::size_t>(replicas));
  std::iota(seeds.begin(), seeds.end(), 0);
  const Splits splits = mnist_sized(220, type);
  Network network(architecture, replicas, type);
  network.initialise(seeds);
  TrainingOptions options;
  options.batch_size = 128;
  Stepper stepper(network, splits.train, options);
  std::vector<Tensor> both;
  for (const std::int64_t step : {0, 1}) {
    stepper.differentiate(step);
    both.push_back(network.gradients.flat.clone());
  }
  set_threads(1);
  return at::cat(both);
}

}  // namespace

TEST_CASE("products are cut among any number of threads", "[speed]") {
  const auto type = GENERATE(at::kFloat, at::kDouble);
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after);
  const Architecture architecture{784, {601, 90}, 10, batch_norm};  // more outputs than images, and fewer
  const Tensor one = gradients_by(1, architecture, 1, type);
  for (const int threads : {2, 3, 4, 5}) {
    CAPTURE(type, threads);
    const Tensor shared = gradients_by(threads, architecture, 1, type);
    CHECK(relative_error(shared, one) <= (type == at::kFloat ? 1e-4 : 1e-12));
    CHECK(at::equal(shared, gradients_by(threads, architecture, 1, type)));
  }
}

TEST_CASE("threads share large products and change only the last bits", "[speed]") {
  // One wide network; many small ones; few wide ones, with batch norm. The second batch is smaller.
  const auto [hidden, replicas, batch_norm] =
      GENERATE(table<std::vector<std::int64_t>, std::int64_t, BatchNormPlace>(
          {{{600, 400}, 1, BatchNormPlace::none},
           {{20, 7, 5}, 40, BatchNormPlace::none},
           {{300, 300}, 3, BatchNormPlace::after}}));
  const Architecture architecture{784, hidden, 10, batch_norm};
  const auto gradients = [&, &replicas = replicas](int threads) {
    return gradients_by(threads, architecture, replicas, at::kDouble);
  };
  const Tensor one = gradients(1);
  std::set<std::thread::id> threads_of_products;
  std::mutex mutex;
  std::condition_variable came;
  const std::size_t expected = available_cores() > 1 ? 2 : 1;
  // Whoever comes first waits for the other one, which a busy machine may let wait in turn.
  const auto note_thread = [&] {
    std::unique_lock<std::mutex> lock(mutex);
    threads_of_products.insert(std::this_thread::get_id());
    came.notify_all();
    came.wait_for(lock, std::chrono::seconds(60), [&] { return threads_of_products.size() >= expected; });
  };
  product_observer = note_thread;
  const Tensor two = gradients(2);
  product_observer = nullptr;
  CHECK(threads_of_products.size() == (has_blas() ? expected : 0));
  CHECK(relative_error(two, one) <= 1e-12);
  CHECK(at::equal(two, gradients(2)));
  CHECK(at::equal(one, gradients(1)));
}

TEST_CASE("updates range by range have the bits of penalty first and update then", "[speed]") {
  const auto kind = GENERATE(from_range(all_optimizers));
  const int threads = GENERATE(1, 3);
  const bool own_values = GENERATE(false, true);
  TrainingOptions options;
  options.seeds = {1, 2};
  options.optimizer.kind = kind;
  options.optimizer.weight_decay = 0.01;
  options.optimizer.decayed = OptimizerOptions::Decayed::weights;
  options.l2 = {0.5};
  if (own_values) {
    options.l2 = {0.5, 0.25};
    options.learning_rate = {0.01, 0.02};
  }
  const Splits splits = mnist_sized(80);  // batches of 32, 32 and 16
  const auto trained = [&](bool in_ranges) {
    set_threads(threads);
    // 140,552 numbers, in five ranges, of which the last holds weights, biases, γ and β.
    Network network({784, {88, 10}, 10, BatchNormPlace::after}, 2, at::kFloat);
    network.initialise(options.seeds);
    Stepper stepper(network, splits.train, options);
    for (std::int64_t step = 0; step < 3; ++step) {
      if (in_ranges) {
        stepper.advance(step);
      } else {
        stepper.differentiate(step);
        stepper.update();
      }
    }
    set_threads(1);
    return network.parameters.flat.clone();
  };
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const Tensor all_at_once = trained(false);
  CHECK(at::isfinite(all_at_once).all().item<bool>());
  CHECK(at::equal(trained(true), all_at_once));
}

TEST_CASE("the work decides on threads", "[speed]") {
  CHECK(useful_threads(0) == 1);
  CHECK(useful_threads(largest_layer_flops({784, {20, 7, 5}, 10, BatchNormPlace::none}, 1, 32)) == 1);
  CHECK(useful_threads(1e15) == available_cores());
  CHECK(largest_layer_flops({784, {20, 7, 5}, 10, BatchNormPlace::none}, 16, 32) == 2.0 * 32 * 784 * 20 * 16);
  CHECK(largest_layer_flops({10, {20, 30}, 10, BatchNormPlace::none}, 2, 32) == 2.0 * 32 * 20 * 30 * 2);
}

TEST_CASE("jobs run on their own threads and report the first failure", "[speed]") {
  const int workers = GENERATE(1, 2, 5);
  std::vector<std::int64_t> results(9, 0);
  std::vector<std::function<void()>> jobs;
  const std::thread::id caller = std::this_thread::get_id();
  for (std::size_t i = 0; i < results.size(); ++i) {
    jobs.emplace_back([&results, i, caller] {
      const bool alone = threads() == 1 && at::get_num_threads() == 1 && std::this_thread::get_id() != caller;
      if (alone) results[i] = static_cast<std::int64_t>(i * i);
    });
  }
  set_threads(3);
  run_jobs(jobs, workers);
  CHECK(threads() == 3);
  CHECK(at::get_num_threads() == 1);
  set_threads(1);
  for (std::size_t i = 0; i < results.size(); ++i) CHECK(results[i] == static_cast<std::int64_t>(i * i));

  jobs[3] = [] { throw std::runtime_error("third"); };
  jobs[7] = [] { throw std::runtime_error("seventh"); };
  results.assign(9, 0);
  CHECK_THROWS_WITH(run_jobs(jobs, workers), "third");
  CHECK(results[8] == 64);  // the others were done all the same
  run_jobs({}, workers);
}

TEST_CASE("groups of networks train the same on any number of workers", "[speed]") {
  const Splits splits = mnist_sized(320);
  const auto trained = [&](int workers) {
    std::vector<std::unique_ptr<Network>> networks;
    std::vector<std::function<void()>> jobs;
    for (std::uint64_t group = 0; group < 3; ++group) {
      networks.push_back(
          std::make_unique<Network>(Architecture{784, {20, 7, 5}, 10, BatchNormPlace::after}, 2, at::kFloat));
      jobs.emplace_back([&splits, &network = *networks.back(), group] {
        TrainingOptions options;
        options.epochs = 2;
        options.seeds = {2 * group, 2 * group + 1};
        options.data_seeds = {group};
        TrainingObserver nobody;
        train(network, splits, options, nobody);
      });
    }
    run_jobs(jobs, workers);
    std::vector<Tensor> all;
    for (const auto& network : networks) all.push_back(network->parameters.flat);
    return at::cat(all);
  };
  const Tensor expected = trained(1);
  CHECK(at::equal(trained(2), expected));
  CHECK(at::equal(trained(3), expected));
}

TEST_CASE("the arithmetic of a step is counted by hand", "[speed]") {
  // y and dW of both layers, dx of the second
  CHECK(step_flops({4, {3}, 2, BatchNormPlace::none}, 5) == 2.0 * 5 * (2 * 4 * 3 + 3 * 3 * 2));
  CHECK(step_flops({784, {20, 7, 5}, 10, BatchNormPlace::none}, 32) == Approx(2.05e6).epsilon(0.01));
}
