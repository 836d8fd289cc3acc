// Loss and accuracy of all sets.
#include "handgrad/train/measurements.h"

namespace handgrad {

std::vector<double> losses_of(const std::vector<LossAndAccuracy>& metrics) {
  std::vector<double> losses;
  for (const LossAndAccuracy& of_network : metrics) losses.push_back(of_network.loss);
  return losses;
}

Measurements::Measurements(Network& network, const Splits& data, const TrainingOptions& options, const L2& l2,
                           TrainingObserver& observer)
    : network_(network), data_(data), options_(options), l2_(l2), observer_(observer) {
  if (data.watched.count() > 0) watched_.emplace(network, data.watched);
}

std::vector<double> Measurements::watched_losses(const std::vector<LossAndAccuracy>& metrics) const {
  std::vector<double> losses = losses_of(metrics);
  if (!options_.watch_penalty) return losses;
  const std::vector<double> penalty = to_vector(network_.l2_penalty(l2_, data_.watched.count()));
  for (std::size_t r = 0; r < losses.size(); ++r) losses[r] += penalty[r];
  return losses;
}

void Measurements::begin(std::int64_t more) {
  done_ = 0;
  total_ = more + data_.measured.count() + data_.test.count() + data_.validation.count() +
           (watched_ ? data_.watched.count() : 0);
  observer_.on_measuring(0, total_);
}

std::vector<Measured> Measurements::all() {
  const std::vector<LossAndAccuracy> train = measure(data_.measured);
  const std::vector<LossAndAccuracy> test = measure(data_.test);
  std::vector<LossAndAccuracy> validation;
  if (data_.validation.count() > 0) validation = measure(data_.validation);
  const std::vector<double> penalty = to_vector(network_.l2_penalty(l2_, options_.batch_size));
  std::vector<double> costs;
  if (watched_) costs = watched_losses(watched());
  std::vector<Measured> results(train.size());
  for (std::size_t r = 0; r < results.size(); ++r) {
    results[r].train = train[r];
    results[r].test = test[r];
    if (!validation.empty()) results[r].validation = validation[r];
    results[r].l2_penalty = penalty[r];
    if (watched_) results[r].validation_cost = costs[r] + (options_.watch_penalty ? 0 : penalty[r]);
  }
  return results;
}

std::vector<LossAndAccuracy> Measurements::measure(Evaluator& evaluator) {
  return evaluator.evaluate([this](std::int64_t images) {
    if (total_ == 0) return;
    done_ += images;
    observer_.on_measuring(done_, total_);
  });
}

std::vector<LossAndAccuracy> Measurements::measure(const Examples& set) {
  Evaluator evaluator(network_, set);
  return measure(evaluator);
}

}  // namespace handgrad
