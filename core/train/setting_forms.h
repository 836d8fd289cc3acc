// How a setting's value is written and read, and which values are allowed.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handgrad/base/lists.h"
#include "handgrad/base/numbers.h"
#include "handgrad/train/settings.h"

namespace handgrad {

// How a value of a type is written and read, and which are allowed: `parse` gives none for the others.
template <typename T>
struct Form {
  Setting::Kind kind = Setting::Kind::text;
  std::string allowed;
  std::function<std::string(const T&)> text;
  std::function<std::optional<T>(const std::string&)> parse;
};

inline Form<bool> toggle() {
  return {Setting::Kind::toggle, "true or false", [](bool value) { return value ? "true" : "false"; },
          [](const std::string& text) -> std::optional<bool> {
            if (text != "true" && text != "false") return std::nullopt;
            return text == "true";
          }};
}

// As true and false, which is what it was before there was a choice of place, as far as they say it.
inline Form<BatchNormPlace> batch_norm_place() {
  return {Setting::Kind::toggle, "after (true), before, or none (false)",
          [](BatchNormPlace place) {
            if (place == BatchNormPlace::before) return name_of(place);
            return place == BatchNormPlace::after ? "true" : "false";
          },
          [](const std::string& text) -> std::optional<BatchNormPlace> {
            if (text == "false" || text == "none") return BatchNormPlace::none;
            if (text == "true" || text == "after") return BatchNormPlace::after;
            if (text == "before") return BatchNormPlace::before;
            return std::nullopt;
          }};
}

template <typename Integer = std::int64_t>
Form<Integer> whole(std::int64_t least, std::int64_t most) {
  return {Setting::Kind::whole, fmt::format("a whole number from {} to {}", least, most),
          [](Integer value) { return std::to_string(value); },
          [=](const std::string& text) -> std::optional<Integer> {
            const auto value = parse_integer(text);
            if (!value || *value < least || *value > most) return std::nullopt;
            return static_cast<Integer>(*value);
          }};
}

// The number, or `word` for none.
template <typename Number>
Form<std::optional<Number>> or_none(const std::string& word, const Form<Number>& form) {
  return {form.kind, word.empty() ? form.allowed : fmt::format("{}, or {}", word, form.allowed),
          [=](const std::optional<Number>& value) { return value ? form.text(*value) : word; },
          [=](const std::string& text) -> std::optional<std::optional<Number>> {
            if (text == word) return std::optional<Number>();
            const std::optional<Number> value = form.parse(text);
            if (!value) return std::nullopt;
            return std::optional<std::optional<Number>>(value);
          }};
}

// The number, or "auto"; config.json has both as text.
inline Form<std::optional<std::int64_t>> number_or_auto(std::int64_t most) {
  Form<std::optional<std::int64_t>> form = or_none("auto", whole(1, most));
  form.kind = Setting::Kind::text;
  return form;
}

inline Form<double> real(std::string allowed, std::function<bool(double)> is_allowed) {
  return {Setting::Kind::real, std::move(allowed), [](double value) { return fmt::format("{}", value); },
          [is_allowed = std::move(is_allowed)](const std::string& text) {
            const auto value = parse_number(text);
            return value && is_allowed(*value) ? value : std::nullopt;
          }};
}

inline Form<double> not_negative() {
  return real(fmt::format("a number from 0 to {}", largest_factor),
              [](double value) { return value >= 0 && value <= largest_factor; });
}

// What is below float32's smallest normal number would be 0 in the training.
inline Form<double> above_zero(double most) {
  return real(fmt::format("a number above 0 and at most {}", most),
              [=](double value) { return value >= std::numeric_limits<float>::min() && value <= most; });
}

inline Form<double> up_to(double most) {
  return real(fmt::format("a number from 0 to {}", most),
              [=](double value) { return value >= 0 && value <= most; });
}

inline Form<double> below_one() {
  return real("a number of at least 0 and below 1", [](double value) { return value >= 0 && value < 1; });
}

// One value for all networks; their own ones, which a command line cannot say, have commas between.
inline Form<std::vector<double>> of_each_network(const Form<double>& form) {
  return {form.kind, form.allowed,
          [=](const std::vector<double>& values) { return fmt::format("{}", fmt::join(values, ",")); },
          [=](const std::string& text) -> std::optional<std::vector<double>> {
            const auto value = form.parse(text);
            return value ? std::optional(std::vector<double>{*value}) : std::nullopt;
          }};
}

template <typename Enum>
Form<Enum> one_of(const std::vector<std::string>& names) {
  return {Setting::Kind::text, fmt::format("one of {}", fmt::join(names, ", ")),
          [=](Enum value) { return names.at(static_cast<std::size_t>(value)); },
          [=](const std::string& text) -> std::optional<Enum> {
            const auto found = std::find(names.begin(), names.end(), text);
            if (found == names.end()) return std::nullopt;
            return static_cast<Enum>(found - names.begin());
          }};
}

// One number for squares.
inline Form<ImageShape> image_size() {
  const auto side = whole(1, most_rows_or_columns);
  return {Setting::Kind::text,
          fmt::format("rows and columns from 1 to {0}, such as 28 or 28x36", most_rows_or_columns),
          [](const ImageShape& shape) {
            return shape.rows == shape.columns ? std::to_string(shape.rows)
                                               : fmt::format("{}x{}", shape.rows, shape.columns);
          },
          [=](const std::string& text) -> std::optional<ImageShape> {
            const std::size_t cross = text.find('x');
            const auto rows = side.parse(text.substr(0, cross));
            const auto columns = cross == std::string::npos ? rows : side.parse(text.substr(cross + 1));
            if (!rows || !columns) return std::nullopt;
            return ImageShape{*rows, *columns};
          }};
}

inline Form<double> between_zero_and_one() {
  return real("a number above 0 and below 1", [](double value) { return value > 0 && value < 1; });
}

inline Form<std::string> anything() {
  return {Setting::Kind::text, "text", [](const std::string& value) { return value; },
          [](const std::string& text) { return std::optional(text); }};
}

inline Form<std::vector<std::int64_t>> widths() {
  const auto width = whole(1, widest_layer);
  return {
      Setting::Kind::text,
      fmt::format("whole numbers from 1 to {} with commas between, such as 20,7,5, or none", widest_layer),
      [](const std::vector<std::int64_t>& values) {
        return values.empty() ? "none" : fmt::format("{}", fmt::join(values, ","));
      },
      [=](const std::string& text) -> std::optional<std::vector<std::int64_t>> {
        std::vector<std::int64_t> values;
        if (text == "none") return values;
        for (const std::string& part : parts_of(text)) {
          const auto value = width.parse(part);
          if (!value) return std::nullopt;
          values.push_back(*value);
        }
        return values;
      }};
}

inline Form<Interval> interval() {
  return {Setting::Kind::text, "a number of steps such as 100, or of epochs such as 1ep",
          [](const Interval& value) { return to_string(value); }, parse_interval};
}

// 0: as many as the labels name. One class alone is none to tell apart.
inline Form<std::int64_t> class_count() {
  Form<std::int64_t> form = whole(0, most_classes);
  form.allowed = fmt::format("0, or a whole number from 2 to {}", most_classes);
  form.parse = [any = form.parse](const std::string& text) {
    const auto value = any(text);
    return value == 1 ? std::nullopt : value;
  };
  return form;
}

}  // namespace handgrad
