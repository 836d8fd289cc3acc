// The trainings of a sweep.
#include "sweep/sweep_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "cli/interruption.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/models/torchscript.h"
#include "handgrad/platform/resources.h"
#include "handgrad/platform/threads.h"
#include "run/data_set.h"
#include "run/processes.h"

namespace handgrad::app {

namespace {

constexpr std::int64_t calibration_steps = 400;  // of each ensemble

// With so many networks side by side a GPU's time goes into their arithmetic, and more of them only make what
// an interruption can cost larger.
constexpr std::int64_t most_networks_on_gpu = 2048;

class Calibration : public TrainingObserver {
 public:
  Request requested(std::int64_t step, bool /*epoch_ended*/) override {
    return step >= calibration_steps ? Request::stop : Request::none;
  }
};

// Enough digits for a chart, a third of the bytes.
double rounded(double value) {
  return std::isfinite(value) ? std::stod(fmt::format("{:.5g}", value)) : value;
}

Json weight_statistics(const Network& network, std::int64_t replica) {
  Json layers = Json::array();
  for (const Tensor& weight : network.parameters.weight) {
    const Tensor w = weight.select(0, replica).to(at::kCPU, at::kDouble);
    layers.push_back({{"mean", w.mean().item<double>()},
                      {"deviation", w.std(false).item<double>()},
                      {"least", w.min().item<double>()},
                      {"greatest", w.max().item<double>()}});
  }
  return layers;
}

}  // namespace

SweepRunner::SweepRunner(const SweepFile& file, const Dataset& dataset, at::Device device, std::size_t seeds,
                         std::optional<std::int64_t> seeds_together, const ProcessGroup* processes)
    : file_(file), dataset_(dataset), device_(device) {
  std::vector<Settings> configurations;
  for (const SweepConfiguration& c : file.configurations) {
    configurations.push_back(c.settings);
    widest_ = std::max(widest_, c.settings.architecture(dataset).widest_hidden());
  }
  ensembles_ = group(configurations);
  const std::int64_t free = own_free_memory(device, processes);
  for (const Ensemble& ensemble : ensembles_) {
    TrainingShape shape = shape_of_seed(ensemble);
    const auto images = static_cast<std::int64_t>(shape.images.train.size());
    steps_per_epoch_.push_back((images + shape.options.batch_size - 1) / shape.options.batch_size);
    const std::int64_t together = seeds_together.value_or(seeds_that_fit(shape, free));
    seeds_together_.push_back(std::min(together, static_cast<std::int64_t>(seeds)));
    shape.lanes = seeds_together_.back();
    shape.replicas *= shape.lanes;
    if (!largest_ || training_bytes(shape) > training_bytes(*largest_)) largest_ = shape;
  }
  require_memory(*largest_, device, free);
}

TrainingShape SweepRunner::shape_of_seed(const Ensemble& ensemble) const {
  const Settings& settings = ensemble.settings;
  const Architecture architecture = settings.architecture(dataset_);
  TrainingOptions training = settings.training;
  training.seeds.assign(static_cast<std::size_t>(ensemble.replicas()), 1);
  SplitIndices images = split_indices(dataset_.train_count(), dataset_.test_count(), settings.split);
  validate(training, architecture, ensemble.replicas(), static_cast<std::int64_t>(images.train.size()),
           settings.network);
  validate(training.augment.options(), {dataset_.rows(), dataset_.columns()});
  TrainingShape shape{architecture, settings.network, training, std::move(images), ensemble.replicas()};
  shape.on_gpu = device_.is_cuda();
  return shape;
}

// Each processor core has a training of its own: more networks in one gain nothing there.
std::int64_t SweepRunner::seeds_that_fit(const TrainingShape& of_seed, std::int64_t free) const {
  if (device_.is_cpu()) return 1;
  const std::int64_t fitting = replicas_that_fit(of_seed, usable_bytes(free, device_), true);
  return std::max<std::int64_t>(1, std::min(fitting, most_networks_on_gpu) / of_seed.replicas);
}

int SweepRunner::workers(std::optional<int> asked, const ProcessGroup* processes) const {
  if (!device_.is_cpu()) return 1;
  const std::int64_t free = own_free_memory(device_, processes);
  if (asked) {
    require_memory(*largest_, device_, free, *asked);
    return *asked;
  }
  const std::int64_t fitting = usable_bytes(free, device_) / training_bytes(*largest_);
  return static_cast<int>(std::clamp<std::int64_t>(fitting, 1, own_cores(processes)));
}

std::vector<Job> SweepRunner::jobs(const std::vector<std::uint64_t>& seeds) const {
  std::vector<Job> jobs;
  std::vector<std::size_t> begun(ensembles_.size());  // seeds of each ensemble
  const auto all_begun = [&] {
    return std::all_of(begun.begin(), begun.end(), [&](std::size_t count) { return count == seeds.size(); });
  };
  while (!all_begun()) {
    for (std::size_t e = 0; e < begun.size(); ++e) {
      const auto together = static_cast<std::size_t>(seeds_together_[e]);
      const std::size_t end = std::min(begun[e] + together, seeds.size());
      if (begun[e] == end) continue;
      const auto first = seeds.begin();
      Job job;
      job.ensemble = e;
      job.seeds.assign(first + static_cast<std::ptrdiff_t>(begun[e]),
                       first + static_cast<std::ptrdiff_t>(end));
      job.steps = steps(e);
      job.with_models = seeds.front();
      jobs.push_back(std::move(job));
      begun[e] = end;
    }
  }
  return jobs;
}

double SweepRunner::microseconds_per_step(std::size_t ensemble) const {
  Ensemble shortened = ensembles_[ensemble];
  shortened.settings.training.report_epochs.clear();
  std::vector<std::uint64_t> seeds(static_cast<std::size_t>(seeds_together_[ensemble]));
  std::iota(seeds.begin(), seeds.end(), 1);
  Calibration observer;
  return train_ensemble(shortened, dataset_, seeds, device_, observer).microseconds_per_step;
}

JobResult SweepRunner::train(const Job& job, TrainingObserver& observer) const {
  // The cores have nothing to do but to shuffle for a GPU.
  if (device_.is_cuda()) set_threads(available_cores());
  const Ensemble& ensemble = ensembles_[job.ensemble];
  const EnsembleRun run = train_ensemble(ensemble, dataset_, job.seeds, device_, observer);
  JobResult result;
  for (std::size_t s = 0; s < job.seeds.size(); ++s) {
    const std::uint64_t seed = job.seeds[s];
    Json rows = Json::array();
    for (std::size_t m = 0; m < ensemble.members.size(); ++m) {
      const Ensemble::Member& member = ensemble.members[m];
      const Run& of_member = run.runs[s * ensemble.members.size() + m];
      const std::int64_t replica =
          static_cast<std::int64_t>(s) * ensemble.replicas() + static_cast<std::int64_t>(member.replica);
      const SweepConfiguration& configuration = file_.configurations[member.configuration];
      Json row = row_of(of_member, run);
      // The network holds the parameters of the longest runs.
      if (member.epochs == ensemble.settings.training.epochs) {
        row["weights"] = weight_statistics(*run.network, replica);
        if (seed == job.with_models && configuration.group == "experiment" &&
            of_member.result.fault.empty()) {
          ModelInfo info = model_info(dataset_, ensemble.settings.split.deskew);
          info.training_config = training_text(configuration.config, seed, seed, dataset_.sha256());
          info.test_accuracy = of_member.result.test.accuracy;
          result.models.emplace_back(configuration.name,
                                     TorchScriptModel(model_of(*run.network, replica, info)).serialize());
        }
      }
      rows.push_back(row);
    }
    result.of_seeds.push_back({{"seed", seed}, {"runs", rows}});
  }
  return result;
}

void SweepRunner::require_result_of(const Job& job, const JobResult& result) const {
  const std::vector<Ensemble::Member>& members = ensembles_[job.ensemble].members;
  const bool known = std::all_of(result.models.begin(), result.models.end(), [&](const auto& model) {
    return std::any_of(members.begin(), members.end(), [&](const Ensemble::Member& member) {
      return file_.configurations[member.configuration].name == model.first;
    });
  });
  if (known && result.of_seeds.size() == job.seeds.size()) return;
  throw LaunchError(
      "another process has sent what is no result of its training; start all again, the sweep goes on");
}

Json SweepRunner::row_of(const Run& run, const EnsembleRun& ensemble) const {
  const auto networks = static_cast<double>(ensemble.network->replicas());
  const ReplicaResult& result = run.result;
  const SweepConfiguration& configuration = file_.configurations[run.configuration];
  const auto steps = static_cast<double>(result.steps);
  const auto per_epoch = static_cast<double>(ensemble.steps_per_epoch);
  Json row = {{"configuration", configuration.name},
              {"group", configuration.group},
              {"seed", run.seed},
              {"stopped", to_string(result.stopped)},
              {"fault", result.fault},
              {"steps", result.steps},
              {"steps_per_epoch", ensemble.steps_per_epoch},
              {"epochs", steps / per_epoch},
              {"best_step", result.best_step},
              {"seconds", steps * ensemble.microseconds_per_step / networks / 1e6},
              {"train_loss", result.train.loss},
              {"train_accuracy", result.train.accuracy},
              {"validation_loss", result.validation ? Json(result.validation->loss) : Json()},
              {"validation_accuracy", result.validation ? Json(result.validation->accuracy) : Json()},
              {"test_loss", result.test.loss},
              {"test_accuracy", result.test.accuracy},
              {"l2_penalty", result.l2_penalty},
              {"train_cost", result.train_cost},
              {"validation_cost", result.validation_cost ? Json(*result.validation_cost) : Json()}};
  row["roughness"] = roughness(run.train_loss);
  Json train_curve = Json::array();
  for (const double loss : run.train_loss) train_curve.push_back(rounded(loss));
  Json evaluations = Json::array();
  for (const Run::Evaluation& e : run.evaluations) evaluations.push_back({e.step, rounded(e.loss)});
  row["train_curve"] = train_curve;
  row["evaluations"] = evaluations;
  return row;
}

void TotalProgress::add(std::int64_t steps) {
  const std::lock_guard<std::mutex> lock(mutex_);
  done_ += steps;
  progress_.on_step(done_, steps_);
}

void TotalProgress::end_job() {
  const std::lock_guard<std::mutex> lock(mutex_);
  progress_.note(fmt::format("{} of {} done", ++jobs_done_, counted(jobs_, "training")));
}

void TotalProgress::say(const std::string& text) {
  const std::lock_guard<std::mutex> lock(mutex_);
  progress_.say(text);
}

void JobObserver::on_step(std::int64_t step, std::int64_t /*total_steps*/) {
  if (step % steps_per_record != 0) return;
  if (progress_ != nullptr) progress_->add(step - reported_);
  reported_ = step;
}

Request JobObserver::requested(std::int64_t /*step*/, bool /*epoch_ended*/) {
  cut_short_ = interruption() != 0 || stopped_;
  return cut_short_ ? Request::stop : Request::none;
}

void JobObserver::on_measuring(std::int64_t /*images*/, std::int64_t /*total*/) {
  if (cut_short_ || interruptions() > 1) throw Interrupted();
}

void JobObserver::end() {
  if (progress_ == nullptr) return;
  progress_->add(steps_ - reported_);
  progress_->end_job();
}

}  // namespace handgrad::app
