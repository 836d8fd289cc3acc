// Many configurations, each with many seeds: which of them train side by side as one ensemble, and such a
// training.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "handgrad/train/settings.h"
#include "handgrad/train/trainer.h"

namespace handgrad {

// Configurations that differ in nothing but what each network has of its own, λ and learning rate, and in the
// number of epochs. One that ends earlier is read off a longer one with the same λ and rate. What a sweep
// says once for all of its configurations, as the seed, is not looked at.
struct Ensemble {
  struct Member {
    std::size_t configuration = 0;  // in the list that was grouped
    std::size_t replica = 0;        // the network that is trained for it
    std::int64_t epochs = 0;
  };

  Settings settings;  // λ and learning rate: one per network; epochs: the most
  std::vector<Member> members;

  std::int64_t replicas() const { return static_cast<std::int64_t>(settings.training.l2.size()); }
};

// Each configuration is a member of one ensemble; λ and learning rate of each are a single value. Order: of
// the first member of each.
std::vector<Ensemble> group(const std::vector<Settings>& configurations);

// A configuration trained with a seed.
struct Run {
  struct Evaluation {
    std::int64_t step = 0;
    double loss = 0;  // of the watched set
  };

  std::size_t configuration = 0;
  std::uint64_t seed = 0;
  ReplicaResult result;
  std::vector<double> train_loss;  // data loss of every steps_per_record-th batch, until training stopped
  std::vector<Evaluation> evaluations;
};

struct EnsembleRun {
  std::vector<Run> runs;             // seed by seed, and with each as the members
  std::unique_ptr<Network> network;  // as it was left, with the parameters of the longest runs
  std::int64_t steps_per_epoch = 0;
  double microseconds_per_step = 0;  // of all networks together
};

// Trains all members with each of the seeds, side by side: networks of different seeds see different images.
// How many seeds there are shows in the last bits of a result, which depends on nothing but the arguments,
// build and processor. `observer`: hears steps and may stop training. Throws what train throws.
EnsembleRun train_ensemble(const Ensemble& ensemble, const Dataset& dataset,
                           const std::vector<std::uint64_t>& seeds, at::Device device,
                           TrainingObserver& observer);

// Where the evaluations first reach `loss`, between two of them by a straight line; the first of them where
// it is there already, NaN where none reaches it.
double steps_to_loss(const std::vector<Run::Evaluation>& evaluations, double loss);

// The standard deviation of the differences between successive losses, NaN for less than three.
double roughness(const std::vector<double>& losses);

}  // namespace handgrad
