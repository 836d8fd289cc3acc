// What a training run writes for TensorBoard.
#include "run/tensorboard.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <vector>

#include "handgrad/base/histogram.h"
#include "handgrad/base/lists.h"
#include "handgrad/base/printable.h"
#include "handgrad/train/settings.h"

namespace handgrad::app {

namespace {

// Seconds since 1970.
double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Histogram histogram_of(const Tensor& tensor) {
  const Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
  return histogram(values.data_ptr<float>(), static_cast<std::size_t>(values.numel()));
}

Hyperparameter hyperparameter_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>();
  return printable(value.get<std::string>());  // a path need not be UTF-8
}

std::vector<std::pair<std::string, Hyperparameter>> hyperparameters_of(const Json& config) {
  std::vector<std::pair<std::string, Hyperparameter>> hyperparameters;
  for (const Setting& setting : settings_table()) {
    hyperparameters.emplace_back(setting.name, hyperparameter_of(config.at(setting.name)));
  }
  return hyperparameters;
}

}  // namespace

bool asks_for_tensorboard(const Options& options) {
  const std::string& list = options.text("log");
  if (list == "none") return false;
  for (const std::string& word : parts_of(list)) {
    if (word != tensorboard_log) throw options.wrong("log", "tensorboard, or none");
  }
  return true;
}

TensorBoardLog::TensorBoardLog(RunDirectory& run, Progress& progress, const Network& network,
                               const Json& config, std::string_view augmented)
    : run_(run), network_(network), fault_(progress, run.events_path().filename().string(), "event") {
  if (run_.events_size() > 0) return;
  const double now = wall_time();
  SummaryEvent start(now, 0);
  start.add_session_start(hyperparameters_of(config));
  write(file_version_record(now) + start.record());
  if (!augmented.empty()) write_image(0, "augmented", augmented);
}

void TensorBoardLog::on_train(const TrainRecord& record) {
  SummaryEvent event(wall_time(), record.step);
  for (std::size_t r = 0; r < record.loss.size(); ++r) {
    event.add_scalar(tag("loss/train", r), record.loss[r]);
    event.add_scalar(tag("l2_penalty", r), record.l2_penalty[r]);
    event.add_scalar(tag("learning_rate", r), record.learning_rate[r]);
  }
  write(event.record());
}

void TensorBoardLog::on_evaluation(const EvaluationRecord& record) {
  // An event for each network: of thousands of them one would take too much memory.
  for (std::size_t r = 0; r < record.validation.size(); ++r) {
    SummaryEvent event(wall_time(), record.step);
    event.add_scalar(tag("loss/validation", r), record.validation[r].loss);
    event.add_scalar(tag("accuracy/validation", r), record.validation[r].accuracy);
    if (!record.average.empty()) {
      event.add_scalar(tag("loss/average", r), record.average[r].loss);
      event.add_scalar(tag("accuracy/average", r), record.average[r].accuracy);
    }
    add_histograms(event, "parameters", network_.parameters, r);
    write(event.record());
  }
}

void TensorBoardLog::on_gradients(std::int64_t step, const Parameters& gradients) {
  for (std::size_t r = 0; r < static_cast<std::size_t>(network_.replicas()); ++r) {
    SummaryEvent event(wall_time(), step);
    add_histograms(event, "gradients", gradients, r);
    write(event.record());
  }
}

void TensorBoardLog::on_end(std::int64_t step, StopReason stopped) {
  if (stopped == StopReason::interrupted) return;
  SummaryEvent event(wall_time(), step);
  event.add_session_end(stopped == StopReason::non_finite ? SessionStatus::failure : SessionStatus::success);
  write(event.record());
}

void TensorBoardLog::write_image(std::int64_t step, const std::string& tag, std::string_view png) {
  SummaryEvent event(wall_time(), step);
  event.add_image(tag, png);
  write(event.record());
}

std::string TensorBoardLog::tag(const std::string& name, std::size_t replica) const {
  return network_.replicas() == 1 ? name : fmt::format("{}/network-{}", name, replica);
}

void TensorBoardLog::add_histograms(SummaryEvent& event, const std::string& group,
                                    const Parameters& parameters, std::size_t replica) const {
  for (const auto& [name, tensor] : named_tensors(network_.architecture(), parameters, network_.running,
                                                  static_cast<std::int64_t>(replica))) {
    // Running statistics are no parameters, and have no gradients.
    if (name.find(".running_") != std::string::npos) continue;
    event.add_histogram(tag(fmt::format("{}/{}", group, name), replica), histogram_of(tensor));
  }
}

void TensorBoardLog::write(std::string_view records) {
  try {
    run_.append_events(records);
    fault_.written();
  } catch (const FileError& error) {
    fault_.failed(error);
  }
}

}  // namespace handgrad::app
