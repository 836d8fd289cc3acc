// Loss and accuracy of all sets, as a training reports them of its networks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/train/evaluator.h"
#include "handgrad/train/training_observer.h"
#include "handgrad/train/training_options.h"

namespace handgrad {

// Of one network; the parameters are those that it has when it is measured.
struct Measured {
  LossAndAccuracy train, test;
  std::optional<LossAndAccuracy> validation;
  double l2_penalty = 0;
  // What the described project calls cost, of the watched set: loss and L2 penalty, which is divided by the
  // batch size too, or with watch_penalty by the size of the set.
  std::optional<double> validation_cost;
};

class Measurements {
 public:
  // All must outlive it.
  Measurements(Network& network, const Splits& data, const TrainingOptions& options, const L2& l2,
               TrainingObserver& observer);

  bool has_watched() const { return watched_.has_value(); }
  std::vector<LossAndAccuracy> watched() { return measure(*watched_); }
  std::vector<LossAndAccuracy> train_set() { return measure(data_.train); }
  // The losses by which training stops: with watch_penalty they contain the penalty.
  std::vector<double> watched_losses(const std::vector<LossAndAccuracy>& metrics) const;

  // From here to end(), the observer hears how many images are measured: those of all(), and so many more.
  void begin(std::int64_t more);
  void end() { total_ = 0; }
  std::vector<Measured> all();

 private:
  std::vector<LossAndAccuracy> measure(Evaluator& evaluator);
  std::vector<LossAndAccuracy> measure(const Examples& set);

  Network& network_;
  const Splits& data_;
  const TrainingOptions& options_;
  const L2& l2_;
  TrainingObserver& observer_;
  std::optional<Evaluator> watched_;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;  // 0: nobody is told
};

std::vector<double> losses_of(const std::vector<LossAndAccuracy>& metrics);

}  // namespace handgrad
