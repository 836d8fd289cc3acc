// What a JSON text is.
#include "handgrad/files/json_check.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace handgrad {

namespace {

// (The library's callback parser could tell this too, in time that is quadratic in the keys.)
class Listener : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Listener(std::size_t most_levels) : most_levels_(most_levels) {}

  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return true; }
  bool parse_error(std::size_t /*place*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }
  bool start_array(std::size_t /*count*/) override { return begin(); }
  bool end_array() override { return end(); }
  bool start_object(std::size_t /*count*/) override { return begin(); }
  bool end_object() override { return end(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second && repeated.empty()) repeated = name.empty() ? "(empty)" : name;
    return true;
  }

  std::string repeated;

 private:
  bool begin() {
    keys_.emplace_back();
    return keys_.size() <= most_levels_;
  }
  bool end() {
    keys_.pop_back();
    return true;
  }

  std::size_t most_levels_;
  std::vector<std::set<std::string>> keys_;  // of what is open; of an array none
};

}  // namespace

JsonCheck check_json(std::string_view text, std::size_t most_levels) {
  Listener listener(most_levels);
  const bool good = nlohmann::json::sax_parse(text, &listener);
  return {good, listener.repeated};
}

}  // namespace handgrad
