// Several observers as one.
#include "handgrad/train/training_observer.h"

#include <algorithm>

namespace handgrad {

void ObserverList::on_step(std::int64_t step, std::int64_t total_steps) {
  for (TrainingObserver* observer : observers_) observer->on_step(step, total_steps);
}

void ObserverList::on_train(const TrainRecord& record) {
  for (TrainingObserver* observer : observers_) observer->on_train(record);
}

void ObserverList::on_evaluation(const EvaluationRecord& record) {
  for (TrainingObserver* observer : observers_) observer->on_evaluation(record);
}

bool ObserverList::wants_gradients() {
  bool wanted = false;
  for (TrainingObserver* observer : observers_) wanted = observer->wants_gradients() || wanted;
  return wanted;
}

void ObserverList::on_gradients(std::int64_t step, const Parameters& gradients) {
  for (TrainingObserver* observer : observers_) {
    if (observer->wants_gradients()) observer->on_gradients(step, gradients);
  }
}

Request ObserverList::requested(std::int64_t step, bool epoch_ended) {
  Request all = Request::none;
  for (TrainingObserver* observer : observers_) all = std::max(all, observer->requested(step, epoch_ended));
  return all;
}

void ObserverList::on_checkpoint(TrainingState state) {
  for (TrainingObserver* observer : observers_) observer->on_checkpoint(state);
}

void ObserverList::on_measuring(std::int64_t images, std::int64_t total) {
  for (TrainingObserver* observer : observers_) observer->on_measuring(images, total);
}

}  // namespace handgrad
