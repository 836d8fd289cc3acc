// The flags of a command.
#include "cli/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <utility>

#include "handgrad/base/numbers.h"

namespace handgrad::app {

namespace {

// cxxopts puts what it complains of into quotes, typographic ones in its older versions; flags without
// their dashes.
std::string quoted(const std::string& complaint) {
  for (const auto& [begin, end] : {std::pair<std::string, std::string>("‘", "’"), {"'", "'"}}) {
    const auto at = complaint.find(begin);
    if (at == std::string::npos) continue;
    const auto from = at + begin.size();
    return complaint.substr(from, complaint.find(end, from) - from);
  }
  return complaint;
}

// How many letters must be put in, left out, changed, or swapped with the next to make one word of the other.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> of(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      of[i][j] = i + j;
      if (i == 0 || j == 0) continue;
      const std::size_t changed = of[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      of[i][j] = std::min({changed, of[i - 1][j] + 1, of[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) of[i][j] = std::min(of[i][j], of[i - 2][j - 2] + 1);
    }
  }
  return of[a.size()][b.size()];
}

}  // namespace

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known,
                         const std::string& dashes) {
  constexpr std::size_t least_beginning = 3;
  std::vector<std::string> meant;
  std::size_t nearest = word.size() / 3 + 1;
  for (const std::string& other : known) {
    if (word.size() >= least_beginning && other.rfind(word, 0) == 0) {
      if (nearest > 0) meant.clear();
      nearest = 0;
      meant.push_back(dashes + other);
    } else if (const std::size_t distance = edit_distance(word, other); distance < nearest) {
      nearest = distance;
      meant = {dashes + other};
    }
  }
  return meant.empty() ? "" : fmt::format("; did you mean {}?", fmt::join(meant, " or "));
}

std::string flag_of(std::string setting) {
  std::replace(setting.begin(), setting.end(), '_', '-');
  return setting;
}

std::string value_text(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string message_of(const Error& error) {
  const std::string setting = error.setting;
  if (setting.empty()) return error.what();
  return fmt::format("--{}{}", flag_of(setting), error.what() + setting.size());
}

Options::Options(std::string command, std::string summary, std::string positional)
    : command_(std::move(command)), summary_(std::move(summary)), positional_help_(std::move(positional)) {}

Options& Options::value(const std::string& name, const std::string& default_value,
                        const std::string& placeholder, const std::string& help) {
  flags_.push_back({name, default_value, placeholder, help, false, {}});
  values_[name] = default_value;
  return *this;
}

Options& Options::toggle(const std::string& name, const std::string& help) {
  return toggle(name, {}, "", help);
}

Options& Options::toggle(const std::string& name, const std::vector<std::string>& words,
                         const std::string& placeholder, const std::string& help) {
  flags_.push_back({name, "false", placeholder, help, true, words});
  values_[name] = "false";
  return *this;
}

void Options::preset(const std::string& name, const std::string& value) {
  if (!given(name)) values_[name] = value;
}

Options& Options::hide(const std::string& name) {
  flags_.erase(
      std::remove_if(flags_.begin(), flags_.end(), [&](const Flag& flag) { return flag.name == name; }),
      flags_.end());
  return *this;
}

// The flag that `argument` is, if it is one with words; else nullptr.
const Options::Flag* Options::toggle_with_words(const std::string& argument) const {
  for (const Flag& flag : flags_) {
    if (!flag.words.empty() && argument == "--" + flag.name) return &flag;
  }
  return nullptr;
}

// "--name" and one of its words as "--name=word": cxxopts gives what may stand alone no other value.
std::vector<std::string> Options::with_words_joined(const std::vector<std::string>& arguments) const {
  std::vector<std::string> joined;
  for (const std::string& argument : arguments) {
    const Flag* flag = joined.empty() ? nullptr : toggle_with_words(joined.back());
    const bool is_word =
        flag != nullptr && std::find(flag->words.begin(), flag->words.end(), argument) != flag->words.end();
    if (is_word) {
      joined.back() += "=" + argument;
    } else {
      joined.push_back(argument);
    }
  }
  return joined;
}

// Of the first of the arguments that are no flags, where there should be none.
UsageError Options::unexpected(const std::vector<std::string>& arguments) const {
  const std::string& first = positional_arguments_.front();
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const Flag* flag = toggle_with_words(arguments[i - 1]);
    if (flag == nullptr || arguments[i] != first) continue;
    return UsageError{fmt::format("--{}: got {}; must stand alone or be one of {}", flag->name, first,
                                  fmt::join(flag->words, ", "))};
  }
  return UsageError{fmt::format("unexpected argument {}; `handgrad {}` takes flags only, `--help` lists them",
                                first, command_)};
}

bool Options::parse(const std::vector<std::string>& arguments) {
  cxxopts::Options parser("handgrad " + command_);
  auto add = parser.add_options();
  const auto toggle = [] { return cxxopts::value<std::string>()->implicit_value("true"); };
  add("h,help", "", toggle());
  for (const Flag& flag : flags_) {
    add(flag.name, "", flag.is_toggle ? toggle() : cxxopts::value<std::string>());
  }
  std::vector<const char*> argv = {"handgrad"};
  const std::vector<std::string> joined = with_words_joined(arguments);
  for (const std::string& argument : joined) argv.push_back(argument.c_str());
  try {
    const cxxopts::ParseResult result = parser.parse(static_cast<int>(argv.size()), argv.data());
    if (result.count("help") > 0) return false;
    for (const Flag& flag : flags_) {
      if (result.count(flag.name) == 0) continue;
      values_[flag.name] = result[flag.name].as<std::string>();
      given_.insert(flag.name);
    }
    positional_arguments_ = result.unmatched();
  } catch (const std::exception& error) {
    throw misread(error.what());
  }
  for (const std::string& name : given_) {
    if (text(name).empty()) throw wrong(name, "a value");
  }
  if (positional_help_.empty() && !positional_arguments_.empty()) throw unexpected(arguments);
  return true;
}

UsageError Options::misread(const std::string& complaint) const {
  const std::string name = quoted(complaint);
  std::vector<std::string> names;
  for (const Flag& flag : flags_) {
    if (flag.name == name)
      return UsageError{fmt::format("--{0}: needs a value; write --{0} {1}", name, flag.placeholder)};
    names.push_back(flag.name);
  }
  const std::string dashes = name.rfind('-', 0) == 0 ? "" : name.size() == 1 ? "-" : "--";
  const std::string suggestion = did_you_mean(name, names, "--");
  return UsageError{fmt::format("unknown flag {}{}{} `handgrad {} --help` lists the flags", dashes, name,
                                suggestion.empty() ? ";" : suggestion, command_)};
}

void Options::apply_config(const nlohmann::json& config, const std::string& file,
                           const std::vector<std::string>& keys) {
  if (!config.is_object())
    throw Error(fmt::format("{}: holds no JSON object; use a run's config.json", file));
  for (const auto& [key, entry] : config.items()) {
    if (key == "version" || key == "init_sha256" || key == "chosen_by") continue;  // no settings
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      const std::string suggestion = did_you_mean(key, keys);
      throw Error(fmt::format("{}: has the key {}, which is no setting of a run{}", file, key,
                              suggestion.empty() ? "; remove it" : suggestion));
    }
    const std::string name = flag_of(key);
    if (!given(name)) values_[name] = value_text(entry);
  }
}

std::string Options::help() const {
  std::string text = fmt::format("handgrad {}: {}\n\nUsage: handgrad {} {}[FLAGS]\n\nFlags:\n", command_,
                                 summary_, command_, positional_help_.empty() ? "" : positional_help_ + " ");
  std::size_t width = 0;
  const auto left = [](const Flag& flag) {
    return fmt::format("--{}{}{}", flag.name, flag.placeholder.empty() ? "" : " ", flag.placeholder);
  };
  for (const Flag& flag : flags_) width = std::max(width, left(flag).size());
  for (const Flag& flag : flags_) {
    const bool show_default = !flag.is_toggle && !flag.default_value.empty();
    text += fmt::format("  {:<{}}  {}{}\n", left(flag), width, flag.help,
                        show_default ? fmt::format(" [{}]", flag.default_value) : "");
  }
  return text + fmt::format("  {:<{}}  this text\n", "--help", width);
}

bool Options::given(const std::string& name) const {
  return given_.count(name) > 0;
}

bool Options::on(const std::string& name) const {
  const std::string& value = text(name);
  if (value != "true" && value != "false") throw wrong(name, "true or false");
  return value == "true";
}

const std::string& Options::text(const std::string& name) const {
  return values_.at(name);
}

UsageError Options::wrong(const std::string& name, const std::string& allowed) const {
  const std::string& value = text(name);
  return UsageError{
      fmt::format("--{}: got {}; must be {}", name, value.empty() ? "nothing" : value, allowed)};
}

std::int64_t Options::integer(const std::string& name, std::int64_t least, std::int64_t most) const {
  const bool open = most == std::numeric_limits<std::int64_t>::max();
  return integer_of(name, least, most,
                    open ? fmt::format("a whole number of at least {}", least)
                         : fmt::format("a whole number from {} to {}", least, most));
}

std::optional<std::int64_t> Options::integer_or(const std::string& word, const std::string& name,
                                                std::int64_t least, std::int64_t most) const {
  if (text(name) == word) return std::nullopt;
  return integer_of(name, least, most, fmt::format("{}, or a whole number from {} to {}", word, least, most));
}

std::int64_t Options::integer_of(const std::string& name, std::int64_t least, std::int64_t most,
                                 const std::string& allowed) const {
  const auto value = parse_integer(text(name));
  if (!value || *value < least || *value > most) throw wrong(name, allowed);
  return *value;
}

std::size_t Options::choice(const std::string& name, const std::vector<std::string>& choices) const {
  const auto found = std::find(choices.begin(), choices.end(), text(name));
  if (found == choices.end()) throw wrong(name, fmt::format("one of {}", fmt::join(choices, ", ")));
  return static_cast<std::size_t>(found - choices.begin());
}

}  // namespace handgrad::app
