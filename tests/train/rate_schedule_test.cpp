// The course of the learning rate, and that training follows it.
#include "handgrad/train/rate_schedule.h"

#include <cmath>
#include <map>

#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/train/stepper.h"
#include "handgrad/train/trainer.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

class Rates : public TrainingObserver {
 public:
  void on_train(const TrainRecord& record) override { of_step[record.step] = record.learning_rate; }

  std::map<std::int64_t, std::vector<double>> of_step;
};

}  // namespace

TEST_CASE("a constant rate is constant, after its warm-up", "[training]") {
  const RateSchedule plain({}, 10, 100);
  CHECK(plain.is_constant());
  for (const std::int64_t step : {0, 50, 99}) CHECK(plain.factor(step) == 1);

  const RateSchedule warm({RateScheduleOptions::Kind::constant, Interval{2, Interval::Unit::epochs}, {}}, 10,
                          100);
  CHECK_FALSE(warm.is_constant());
  CHECK(warm.warmup_steps() == 20);
  CHECK(warm.factor(0) == 0.05);
  CHECK(warm.factor(9) == 0.5);
  CHECK(warm.factor(19) == 1);
  CHECK(warm.factor(99) == 1);
  CHECK(warm.fall(5) == 1);
}

TEST_CASE("cosine and step begin at the rate and end at the final one", "[training]") {
  const RateSchedule cosine({RateScheduleOptions::Kind::cosine, {}, {}}, 10, 100);
  CHECK(cosine.factor(0) == 1);
  CHECK(std::abs(cosine.factor(25) - (1 + std::sqrt(0.5)) / 2) < 1e-15);
  CHECK(std::abs(cosine.factor(50) - 0.5) < 1e-15);
  CHECK(std::abs(cosine.factor(99) - 0.000246719817) < 1e-10);

  const RateSchedule to_a_tenth({RateScheduleOptions::Kind::cosine, Interval{20, Interval::Unit::steps}, 0.1},
                                10, 100);
  CHECK(to_a_tenth.factor(19) == 1);
  CHECK(to_a_tenth.factor(20) == 1);
  CHECK(std::abs(to_a_tenth.factor(60) - 0.55) < 1e-15);
  CHECK(to_a_tenth.factor(99) > 0.1);
  CHECK(to_a_tenth.factor(99) < 0.101);

  const RateSchedule step({RateScheduleOptions::Kind::step, {}, {}}, 10, 100);
  CHECK(step.factor(49) == 1);
  CHECK(std::abs(step.factor(50) - 0.1) < 1e-15);
  CHECK(std::abs(step.factor(74) - 0.1) < 1e-15);
  CHECK(step.factor(75) == 0.01);
  CHECK(step.factor(99) == 0.01);

  // By epochs, from 1 to 0 whatever the final rate.
  CHECK(to_a_tenth.fall(0) == 1);
  CHECK(to_a_tenth.fall(2) == 1);
  CHECK(std::abs(to_a_tenth.fall(6) - 0.5) < 1e-15);
  CHECK(std::abs(to_a_tenth.fall(10)) < 1e-15);
  CHECK(step.fall(4) == 1);
  CHECK(step.fall(5) == 0.5);
  CHECK(step.fall(8) == 0);
}

TEST_CASE("training has the rates of its schedule, and plain SGD moves by them", "[training]") {
  const Splits data = split(small_dataset(300, 30), {}, at::kFloat);  // 240 images to train on
  TrainingOptions options;
  options.batch_size = 240;  // one step an epoch
  options.epochs = 5;
  options.learning_rate = {0.1, 0.2};
  options.seeds = {1, 2};
  options.l2 = {0};
  options.schedule.kind = RateScheduleOptions::Kind::step;
  options.schedule.final_rate = 0.25;
  options.schedule.warmup = Interval{1, Interval::Unit::epochs};
  options.report_epochs = {1, 2, 3, 4};  // each step is recorded
  Network network({30, {6}, 3}, 2, at::kFloat);
  Rates rates;
  train(network, data, options, rates);
  REQUIRE(rates.of_step.size() == 5);
  const double factors[] = {1, 1, 1, 0.5, 0.25};
  for (std::int64_t step = 1; step <= 5; ++step) {
    CHECK(rates.of_step.at(step) == std::vector<double>{0.1 * factors[step - 1], 0.2 * factors[step - 1]});
  }

  // The last step alone, with its rate as a constant one.
  options.patience.reset();
  options.report_epochs.clear();
  network.initialise(options.seeds);
  options.initialise = false;
  options.epochs = 1;
  options.reshuffle = false;
  options.schedule = {};
  options.learning_rate = {0.05, 0.1};
  Network other({30, {6}, 3}, 2, at::kFloat);
  other.parameters.flat.copy_(network.parameters.flat);
  TrainingObserver nobody;
  train(network, data, options, nobody);
  options.learning_rate = {0.1, 0.2};
  options.schedule.warmup = Interval{2, Interval::Unit::steps};
  options.epochs = 2;
  Stepper stepper(other, data.train, options);
  stepper.advance(0);
  CHECK(at::equal(network.parameters.flat, other.parameters.flat));
}

TEST_CASE("a warm-up that is longer than training is refused", "[training]") {
  const Splits data = split(small_dataset(300, 30), {}, at::kFloat);
  TrainingOptions options;
  options.batch_size = 30;  // 8 steps an epoch
  options.epochs = 2;
  Network network({30, {6}, 3}, 1, at::kFloat);
  TrainingObserver nobody;
  options.schedule.warmup = Interval{3, Interval::Unit::epochs};
  CHECK_THROWS_WITH(train(network, data, options, nobody),
                    Contains("warmup: got 3ep, but training ends after 2 epochs"));
  options.schedule.warmup = Interval{17, Interval::Unit::steps};
  CHECK_THROWS_WITH(train(network, data, options, nobody),
                    Contains("warmup: got 17, but training ends after 16 steps"));
  options.schedule.warmup = Interval{16, Interval::Unit::steps};
  CHECK_NOTHROW(train(network, data, options, nobody));
}
