// Event messages. The numbers of fields are those of the published definitions.
#include "handgrad/files/event_file.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "handgrad/files/tfrecord.h"

namespace handgrad {

namespace {

namespace event_field {
constexpr std::uint32_t wall_time = 1, step = 2, file_version = 3, summary = 5;
}

namespace summary_field {
constexpr std::uint32_t value = 1;
}

namespace value_field {
constexpr std::uint32_t tag = 1, simple_value = 2, image = 4, histogram = 5, metadata = 9;
}

namespace histogram_field {
constexpr std::uint32_t min = 1, max = 2, num = 3, sum = 4, sum_squares = 5, bucket_limit = 6, bucket = 7;
}

namespace image_field {
constexpr std::uint32_t height = 1, width = 2, colorspace = 3, encoded = 4;
}

namespace metadata_field {
constexpr std::uint32_t plugin_data = 1;
}

namespace plugin_field {
constexpr std::uint32_t name = 1, content = 2;
}

namespace session_field {  // of HParamsPluginData
constexpr std::uint32_t start = 3, end = 4;
}

namespace start_field {
constexpr std::uint32_t hparams = 1, start_time = 5;
}

namespace end_field {
constexpr std::uint32_t status = 1, end_time = 2;
}

namespace colorspace {
constexpr std::uint32_t grey = 1, grey_alpha = 2, rgb = 3, rgba = 4;
}

namespace map_field {  // of every map's entries
constexpr std::uint32_t key = 1, value = 2;
}

namespace any_field {  // of google.protobuf.Value
constexpr std::uint32_t number = 2, string = 3, boolean = 4;
}

// The header of a PNG (its specification, 5.2 and 11.2.2): a signature, and a first chunk IHDR.
constexpr std::string_view png_signature = "\x89PNG\r\n\x1a\n";
constexpr std::size_t png_width = 16, png_height = 20, png_colour_type = 25, png_header_size = 26;

std::uint32_t big_endian_at(std::string_view bytes, std::size_t position) {
  std::uint32_t value = 0;
  for (std::size_t i = position; i < position + 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

// Summary.Image's number for a PNG's colour type: grey, colour (or a palette of colours), each with alpha.
std::uint32_t colorspace_of(char png_colour) {
  switch (png_colour) {
    case 0:
      return colorspace::grey;
    case 4:
      return colorspace::grey_alpha;
    case 6:
      return colorspace::rgba;
    default:
      return colorspace::rgb;
  }
}

ProtobufMessage any_value(const Hyperparameter& hyperparameter) {
  ProtobufMessage value;
  if (const bool* boolean = std::get_if<bool>(&hyperparameter)) {
    value.add_varint(any_field::boolean, *boolean ? 1 : 0);
  } else if (const double* number = std::get_if<double>(&hyperparameter)) {
    value.add_double(any_field::number, *number);
  } else {
    value.add_bytes(any_field::string, std::get<std::string>(hyperparameter));
  }
  return value;
}

}  // namespace

std::string file_version_record(double wall_time) {
  ProtobufMessage event;
  event.add_double(event_field::wall_time, wall_time);
  event.add_bytes(event_field::file_version, "brain.Event:2");
  return tfrecord(event.bytes());
}

void SummaryEvent::add_scalar(const std::string& tag, double value) {
  ProtobufMessage entry;
  entry.add_bytes(value_field::tag, tag);
  entry.add_float(value_field::simple_value, static_cast<float>(value));
  summary_.add_message(summary_field::value, entry);
}

void SummaryEvent::add_histogram(const std::string& tag, const Histogram& histogram) {
  ProtobufMessage message;
  message.add_double(histogram_field::min, histogram.min);
  message.add_double(histogram_field::max, histogram.max);
  message.add_double(histogram_field::num, histogram.count);
  message.add_double(histogram_field::sum, histogram.sum);
  message.add_double(histogram_field::sum_squares, histogram.sum_of_squares);
  message.add_doubles(histogram_field::bucket_limit, histogram.limits);
  message.add_doubles(histogram_field::bucket, histogram.counts);
  add_value(tag, value_field::histogram, message);
}

void SummaryEvent::add_image(const std::string& tag, std::string_view png) {
  if (png.size() < png_header_size || png.substr(0, png_signature.size()) != png_signature) {
    throw ArgumentError(fmt::format("{}: the image is no PNG; must be the bytes of a PNG file", tag));
  }
  ProtobufMessage message;
  message.add_varint(image_field::height, big_endian_at(png, png_height));
  message.add_varint(image_field::width, big_endian_at(png, png_width));
  message.add_varint(image_field::colorspace, colorspace_of(png[png_colour_type]));
  message.add_bytes(image_field::encoded, png);
  add_value(tag, value_field::image, message);
}

void SummaryEvent::add_session_start(
    const std::vector<std::pair<std::string, Hyperparameter>>& hyperparameters) {
  ProtobufMessage start;
  for (const auto& [name, value] : hyperparameters) {
    ProtobufMessage entry;
    entry.add_bytes(map_field::key, name);
    entry.add_message(map_field::value, any_value(value));
    start.add_message(start_field::hparams, entry);
  }
  start.add_double(start_field::start_time, wall_time_);
  add_session("_hparams_/session_start_info", session_field::start, start);
}

void SummaryEvent::add_session_end(SessionStatus status) {
  ProtobufMessage end;
  end.add_varint(end_field::status, static_cast<std::uint32_t>(status));
  end.add_double(end_field::end_time, wall_time_);
  add_session("_hparams_/session_end_info", session_field::end, end);
}

std::string SummaryEvent::record() const {
  ProtobufMessage event;
  event.add_double(event_field::wall_time, wall_time_);
  event.add_varint(event_field::step, static_cast<std::uint64_t>(step_));
  event.add_message(event_field::summary, summary_);
  return tfrecord(event.bytes());
}

void SummaryEvent::add_value(const std::string& tag, std::uint32_t kind, const ProtobufMessage& value) {
  ProtobufMessage entry;
  entry.add_bytes(value_field::tag, tag);
  entry.add_message(kind, value);
  summary_.add_message(summary_field::value, entry);
}

// The plugin takes its data from the metadata of a value, which is none itself.
void SummaryEvent::add_session(const std::string& tag, std::uint32_t kind, const ProtobufMessage& session) {
  ProtobufMessage content;
  content.add_message(kind, session);
  ProtobufMessage plugin;
  plugin.add_bytes(plugin_field::name, "hparams");
  plugin.add_message(plugin_field::content, content);
  ProtobufMessage metadata;
  metadata.add_message(metadata_field::plugin_data, plugin);
  add_value(tag, value_field::metadata, metadata);
}

}  // namespace handgrad
