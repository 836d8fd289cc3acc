// What a training tells those who listen, and asks them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "handgrad/nn/parameters.h"
#include "handgrad/train/metrics.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

struct TrainRecord {
  std::int64_t step = 0;                                // steps done
  std::int64_t epoch = 0;                               // the epoch that this step belongs to, from 1
  std::vector<double> loss, l2_penalty, learning_rate;  // per network; the loss of this step's batch
};

struct EvaluationRecord {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::vector<LossAndAccuracy> validation;  // per network, of the watched set
  std::vector<LossAndAccuracy> average;     // the same of its moving average; empty where there is none
};

// What is asked of training after a step; each includes those before it.
enum class Request { none, checkpoint, stop };

class TrainingObserver {
 public:
  TrainingObserver() = default;
  TrainingObserver(const TrainingObserver&) = delete;
  TrainingObserver& operator=(const TrainingObserver&) = delete;
  virtual ~TrainingObserver() = default;

  virtual void on_step(std::int64_t /*step*/, std::int64_t /*total_steps*/) {}
  virtual void on_train(const TrainRecord& /*record*/) {}
  // The network that is trained has the parameters that were evaluated.
  virtual void on_evaluation(const EvaluationRecord& /*record*/) {}
  // Asked at each step after which the networks will be evaluated; true has its gradients shown: those of the
  // data loss of its batch and the L2 penalty, before the optimizer takes them and uses their memory for its
  // own ends. An evaluation that only an interruption brought about has none.
  virtual bool wants_gradients() { return false; }
  virtual void on_gradients(std::int64_t /*step*/, const Parameters& /*gradients*/) {}
  // Asked after each step. `checkpoint` has the state of training handed over, which is done too after the last
  // step; `stop` ends training as if this had been the last.
  virtual Request requested(std::int64_t /*step*/, bool /*epoch_ended*/) { return Request::none; }
  virtual void on_checkpoint(TrainingState /*state*/) {}
  // Called while the networks are measured, which for thousands of them takes minutes: so many images of
  // `total` are done. What it throws ends train; the state of a training that has ended was handed over.
  virtual void on_measuring(std::int64_t /*images*/, std::int64_t /*total*/) {}
};

// Several observers as one: all are told and asked, in order. They must outlive it.
class ObserverList : public TrainingObserver {
 public:
  ObserverList(std::initializer_list<TrainingObserver*> observers) : observers_(observers) {}
  void add(TrainingObserver& observer) { observers_.push_back(&observer); }

  void on_step(std::int64_t step, std::int64_t total_steps) override;
  void on_train(const TrainRecord& record) override;
  void on_evaluation(const EvaluationRecord& record) override;
  bool wants_gradients() override;
  void on_gradients(std::int64_t step, const Parameters& gradients) override;
  Request requested(std::int64_t step, bool epoch_ended) override;
  void on_checkpoint(TrainingState state) override;
  void on_measuring(std::int64_t images, std::int64_t total) override;

 private:
  std::vector<TrainingObserver*> observers_;
};

}  // namespace handgrad
