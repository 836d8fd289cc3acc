// The safetensors format. Every number of a file is taken for hostile until it is checked.
#include "handgrad/models/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/file.h"
#include "handgrad/files/json_check.h"
#include "handgrad/files/little_endian.h"

namespace handgrad {

namespace {

using Json = nlohmann::json;

constexpr std::size_t length_size = 8;
constexpr std::size_t largest_header = std::size_t{1} << 22;
constexpr std::size_t deepest_header = 4;
constexpr std::size_t most_axes_of_a_tensor = 8;
constexpr const char* metadata_key = "__metadata__";

// Bytes of an item; 0 for what no tensor here can be made of.
std::size_t item_size(const std::string& dtype) {
  static const std::map<std::string, std::size_t> sizes = {
      {"F64", 8}, {"F32", 4}, {"F16", 2},  {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},
      {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"U64", 8},  {"U32", 4}, {"U16", 2}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

// Nothing where the shape has a negative size or more bytes than can be counted.
std::optional<std::uint64_t> byte_count(const std::vector<std::int64_t>& shape, std::size_t item) {
  auto count = static_cast<std::int64_t>(item);
  bool empty = false;
  for (const std::int64_t size : shape) {
    empty = empty || size == 0;
    // The other sizes of an empty tensor are still multiplied, to its strides.
    if (size < 0 || (size > 0 && __builtin_mul_overflow(count, size, &count))) return std::nullopt;
  }
  return empty ? 0 : static_cast<std::uint64_t>(count);
}

class Parser {
 public:
  Parser(std::string_view file, const std::string& name) : file_(file), name_(name) {}

  Safetensors parse() {
    const Json header = parse_header();
    std::size_t end = 0;
    for (const auto& [key, entry] : header.items()) {
      if (key == metadata_key) {
        read_metadata(entry);
      } else {
        add_tensor(key, entry);
      }
    }
    std::stable_sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    for (Place& place : places_) {
      if (place.begin != end) {
        refuse(fmt::format("the bytes of {} begin at {}, but those before end at {}",
                           printable_excerpt(place.tensor.name), place.begin, end));
      }
      end = place.end;
      contents_.tensors.push_back(std::move(place.tensor));
    }
    if (end != data_.size()) {
      refuse(fmt::format("{} bytes belong to tensors, but {} are there", end, data_.size()));
    }
    return std::move(contents_);
  }

 private:
  struct Place {
    std::size_t begin, end;
    StoredTensor tensor;
  };

  [[noreturn]] void refuse(const std::string& reason) const {
    throw ModelError(fmt::format("{}: not a safetensors file, or a damaged one: {}; get or write it again",
                                 printable(name_), reason));
  }

  Json parse_header() {
    if (file_.size() < length_size) refuse("it is shorter than the eight bytes that begin such a file");
    const std::uint64_t length = from_little_endian(file_.substr(0, length_size));
    if (length > largest_header || length > file_.size() - length_size) {
      refuse(fmt::format("its header would be {} bytes long, but {} follow", length,
                         file_.size() - length_size));
    }
    const std::string_view text = file_.substr(length_size, static_cast<std::size_t>(length));
    data_ = file_.substr(length_size + text.size());
    const JsonCheck check = check_json(text, deepest_header);
    if (!check.good) refuse("its header is no JSON object");
    // A key that stands twice could be read as either by two readers.
    if (!check.repeated_key.empty()) {
      refuse(fmt::format("its header has the name {} twice", printable_excerpt(check.repeated_key)));
    }
    Json header = Json::parse(text, nullptr, false);
    if (!header.is_object()) refuse("its header is no JSON object");
    return header;
  }

  void read_metadata(const Json& entry) {
    if (!entry.is_object()) refuse("its metadata is no JSON object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) refuse(fmt::format("its metadata {} is no text", printable_excerpt(key)));
      contents_.metadata[key] = value.get<std::string>();
    }
  }

  std::int64_t number(const Json& value, const std::string& of) const {
    if (!value.is_number_unsigned() ||
        value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
      refuse(fmt::format("{} has a size or place that is no whole number", printable_excerpt(of)));
    }
    return value.get<std::int64_t>();
  }

  void add_tensor(const std::string& key, const Json& entry) {
    StoredTensor tensor;
    tensor.name = key;
    const bool whole = entry.is_object() && entry.size() == 3 && entry.contains("dtype") &&
                       entry.contains("shape") && entry.contains("data_offsets");
    if (!whole || !entry["dtype"].is_string() || !entry["shape"].is_array() ||
        !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2) {
      refuse(fmt::format("{} is not described by dtype, shape and two data_offsets", printable_excerpt(key)));
    }
    tensor.dtype = entry["dtype"].get<std::string>();
    if (entry["shape"].size() > most_axes_of_a_tensor) {
      refuse(fmt::format("{} has more than {} axes", printable_excerpt(key), most_axes_of_a_tensor));
    }
    for (const Json& size : entry["shape"]) tensor.shape.push_back(number(size, key));
    const std::int64_t begin = number(entry["data_offsets"][0], key);
    const std::int64_t end = number(entry["data_offsets"][1], key);
    if (begin > end || static_cast<std::uint64_t>(end) > data_.size()) {
      refuse(fmt::format("the bytes of {} would lie from {} to {}, but {} are there", printable_excerpt(key),
                         begin, end, data_.size()));
    }
    const std::size_t item = item_size(tensor.dtype);
    if (item == 0)
      refuse(fmt::format("{} is of the unknown type {}", printable_excerpt(key),
                         printable_excerpt(tensor.dtype)));
    const auto count = byte_count(tensor.shape, item);
    const auto given = static_cast<std::uint64_t>(end - begin);
    if (count != given) {
      refuse(
          fmt::format("{} has {} bytes, which is not what its shape needs", printable_excerpt(key), given));
    }
    tensor.bytes = data_.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(given));
    places_.push_back({static_cast<std::size_t>(begin), static_cast<std::size_t>(end), std::move(tensor)});
  }

  std::string_view file_;
  const std::string& name_;
  std::string_view data_;
  std::vector<Place> places_;
  Safetensors contents_;
};

}  // namespace

std::string serialize_safetensors(const Safetensors& contents) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!contents.metadata.empty()) header[metadata_key] = contents.metadata;
  // The widest items first keep every tensor at a multiple of its item's size.
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& tensor : contents.tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return item_size(a->dtype) > item_size(b->dtype);
  });
  std::size_t position = 0;
  for (const StoredTensor* tensor : order) {
    const std::size_t item = item_size(tensor->dtype);
    if (item == 0 || byte_count(tensor->shape, item) != tensor->bytes.size()) {
      throw ModelError(fmt::format("{}: its type {} and shape do not need {} bytes", tensor->name,
                                   tensor->dtype, tensor->bytes.size()));
    }
    const std::size_t end = position + tensor->bytes.size();
    header[tensor->name] = {
        {"dtype", tensor->dtype}, {"shape", tensor->shape}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string file = to_little_endian(text.size(), length_size);
  file.reserve(length_size + text.size() + position);
  file += text;
  for (const StoredTensor* tensor : order) file += tensor->bytes;
  return file;
}

Safetensors parse_safetensors(std::string_view file, const std::string& name) {
  return Parser(file, name).parse();
}

}  // namespace handgrad
