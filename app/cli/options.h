// The flags of a command: declared once, parsed strictly, shown by --help with their defaults.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "handgrad/base/errors.h"

namespace handgrad::app {

// A command line that is wrong by itself; the message names the flag, the value, what is allowed and the fix.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Options {
 public:
  // `positional`: how --help writes the arguments that are no flags, such as "MODEL"; "" where there are
  // none.
  Options(std::string command, std::string summary, std::string positional);

  // A flag that takes a value, and one that is there or not. Names are without the dashes.
  Options& value(const std::string& name, const std::string& default_value, const std::string& placeholder,
                 const std::string& help);
  Options& toggle(const std::string& name, const std::string& help);
  // A toggle that may have one of `words` as its value, as `--name word` or `--name=word`: what stands behind
  // it and is none of them is the next argument.
  Options& toggle(const std::string& name, const std::vector<std::string>& words,
                  const std::string& placeholder, const std::string& help);

  // The value of a flag that the command line did not give.
  void preset(const std::string& name, const std::string& value);

  // Leaves a flag at its default, and out of the command line and --help.
  Options& hide(const std::string& name);

  // Parses the arguments after the command's name. Returns false where --help was asked for.
  // Throws UsageError for unknown flags, with the one that may have been meant, and missing values.
  bool parse(const std::vector<std::string>& arguments);

  // Takes what a config.json says for all flags that the command line did not give; `keys`: the flags that it
  // may name, with _ for -. Throws handgrad::Error for other keys.
  void apply_config(const nlohmann::json& config, const std::string& file,
                    const std::vector<std::string>& keys);

  std::string help() const;

  bool given(const std::string& name) const;  // on the command line
  bool on(const std::string& name) const;
  const std::string& text(const std::string& name) const;
  const std::vector<std::string>& positional() const { return positional_arguments_; }

  // Throws UsageError for anything but a whole number in the range.
  std::int64_t integer(const std::string& name, std::int64_t least,
                       std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  // None for `word`, such as "auto".
  std::optional<std::int64_t> integer_or(const std::string& word, const std::string& name, std::int64_t least,
                                         std::int64_t most) const;

  // The position of the value among `choices`.
  std::size_t choice(const std::string& name, const std::vector<std::string>& choices) const;

  // "--name: got VALUE; must be ALLOWED".
  UsageError wrong(const std::string& name, const std::string& allowed) const;

 private:
  struct Flag {
    std::string name, default_value, placeholder, help;
    bool is_toggle;
    std::vector<std::string> words;  // that a toggle may have as its value
  };

  const Flag* toggle_with_words(const std::string& argument) const;
  std::vector<std::string> with_words_joined(const std::vector<std::string>& arguments) const;
  UsageError unexpected(const std::vector<std::string>& arguments) const;
  UsageError misread(const std::string& complaint) const;
  std::int64_t integer_of(const std::string& name, std::int64_t least, std::int64_t most,
                          const std::string& allowed) const;

  std::string command_, summary_, positional_help_;
  std::vector<Flag> flags_;
  std::map<std::string, std::string> values_;
  std::set<std::string> given_;
  std::vector<std::string> positional_arguments_;
};

// "; did you mean X?" where `word` is the beginning of one of `known`, or nearly one; else "". `dashes` stand
// before each of them.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known,
                         const std::string& dashes = "");

// The flag of a setting of config.json, without the dashes: "batch-size" of "batch_size".
std::string flag_of(std::string setting);

// A setting's value in config.json, as its flag would have it.
std::string value_text(const nlohmann::json& value);

// What the library says, with the flag in place of the setting that is at fault.
std::string message_of(const Error& error);

}  // namespace handgrad::app
