// Event files, which TensorBoard draws: TFRecord files of Event messages (tensorflow/tensorboard:
// tensorboard/compat/proto/event.proto, summary.proto, histogram.proto; plugins/hparams/plugin_data.proto).
// Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "handgrad/base/histogram.h"
#include "handgrad/files/protobuf.h"

namespace handgrad {

// The record that a file begins with. wall_time: seconds since 1970 (UTC), as everywhere here.
std::string file_version_record(double wall_time);

using Hyperparameter = std::variant<bool, double, std::string>;

// tensorboard.hparams.Status of a training that has ended.
enum class SessionStatus : std::uint32_t { success = 1, failure = 2 };

// What is to be drawn of one step: values, each under a tag such as "loss/train". TensorBoard makes a group of
// tags with the same beginning up to the first "/".
class SummaryEvent {
 public:
  SummaryEvent(double wall_time, std::int64_t step) : wall_time_(wall_time), step_(step) {}

  // Rounded to float32, as which TensorBoard keeps scalars.
  void add_scalar(const std::string& tag, double value);
  void add_histogram(const std::string& tag, const Histogram& histogram);
  // A whole PNG file. Throws ArgumentError where `png` does not begin as one.
  void add_image(const std::string& tag, std::string_view png);

  // The hyperparameters of the run, once, by name; and that training has ended.
  void add_session_start(const std::vector<std::pair<std::string, Hyperparameter>>& hyperparameters);
  void add_session_end(SessionStatus status);

  // The event as a record of the file.
  std::string record() const;

 private:
  void add_value(const std::string& tag, std::uint32_t kind, const ProtobufMessage& value);
  void add_session(const std::string& tag, std::uint32_t kind, const ProtobufMessage& session);

  double wall_time_;
  std::int64_t step_;
  ProtobufMessage summary_;
};

}  // namespace handgrad
