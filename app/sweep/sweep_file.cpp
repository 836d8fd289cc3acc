// The TOML file of a sweep.
#include "sweep/sweep_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "handgrad/base/errors.h"
#include "handgrad/train/compat.h"
#include "sweep/measures.h"
#include "sweep/sweep_directory.h"
#include "sweep/toml_file.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

// Whether a sweep says it once, for all of its configurations.
bool is_of_sweep(const Setting& setting) {
  return setting.role == Setting::Role::of_run || setting.role == Setting::Role::machine;
}

class Reader {
 public:
  Reader(const std::string& file, const Options& options) : file_(file), options_(options) {}

  SweepFile read(const toml::table& table) {
    require_known(file_, "the file", table,
                  {"title", "rules", "seeds", "fixed", "grid", "experiment", "variants", "convergence",
                   "published", "reference", "weights", "claim"});
    SweepFile sweep;
    sweep.title = fs::path(file_).stem().string();
    sweep.rules = sweep.title;
    if (table.contains("title")) sweep.title = required<std::string>(file_, "the file", table, "title");
    if (table.contains("rules")) sweep.rules = required<std::string>(file_, "the file", table, "rules");
    if (table.contains("seeds")) {
      if (table["seeds"].is_integer()) sweep.seeds = *table["seeds"].value<std::int64_t>();
      if (!table["seeds"].is_integer() || sweep.seeds < 1 || sweep.seeds > most_seeds) {
        fail(file_, fmt::format("seeds: must be a whole number from 1 to {}", most_seeds));
      }
    }
    const toml::table& convergence = subtable(file_, table, "convergence");
    require_known(file_, "[convergence]", convergence, {"loss"});
    if (!convergence.empty()) sweep.loss = required<double>(file_, "[convergence]", convergence, "loss");
    fixed_ = texts_in(file_, "[fixed]", subtable(file_, table, "fixed"));

    for (const Assignments& point : combinations("[grid]", subtable(file_, table, "grid"))) {
      if (point.empty()) continue;
      std::vector<std::string> labels;
      for (const auto& [key, value] : point) labels.push_back(setting_label(key, value));
      const std::string name = fmt::format("{}", fmt::join(labels, ", "));
      SweepConfiguration configuration;
      configuration.name = name;
      configuration.group = "grid";
      configuration.experiment = name;
      add(sweep, configuration, point);
    }
    const std::vector<Assignments> variants = combinations("[variants]", subtable(file_, table, "variants"));
    for (const toml::table* experiment : tables(file_, table, "experiment")) {
      add_experiment(sweep, *experiment, variants);
    }
    if (sweep.configurations.empty()) fail(file_, "has neither [grid] nor [[experiment]]; nothing to train");
    require_measures(subtable(file_, table, "published"));
    sweep.published = figures("published", subtable(file_, table, "published"), sweep);
    for (auto&& [name, list] : subtable(file_, table, "reference")) {
      if (!list.is_array() || list.as_array()->empty()) {
        fail(file_, fmt::format("[reference] {}: must be a list of numbers", name.str()));
      }
    }
    sweep.reference = figures("reference", subtable(file_, table, "reference"), sweep);
    sweep.compared_weights = compared_weights(subtable(file_, table, "weights"), sweep);
    for (const toml::table* claim : tables(file_, table, "claim")) add_claim(sweep, *claim);
    return sweep;
  }

 private:
  // Every combination of the axes' values; in the order in which the file names the axes, the last fastest. A
  // flag on the command line takes the place of an axis.
  std::vector<Assignments> combinations(const std::string& place, const toml::table& table) {
    std::vector<std::pair<toml::source_position, std::string>> axes;
    for (auto&& [key, value] : table) axes.emplace_back(key.source().begin, key.str());
    std::sort(axes.begin(), axes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Assignments> points = {{}};
    for (const auto& [position, key] : axes) {
      const std::string of_axis = fmt::format("{}: {}", place, key);
      const toml::array* values = table[key].as_array();
      if (values == nullptr || values->empty())
        fail(file_, of_axis + ": must be a list of values, [a, b, …]");
      std::vector<std::string> texts;
      for (const toml::node& value : *values) texts.push_back(text_in(file_, of_axis, value));
      const std::string flag = flag_of(key);
      if (is_setting(key) && options_.given(flag)) {
        texts = {options_.text(flag)};
        overridden_ = true;
      }
      if (points.size() * texts.size() > most_configurations) {
        fail(file_,
             fmt::format("{}: has more than {} combinations; leave values out", place, most_configurations));
      }
      std::vector<Assignments> longer;
      for (const Assignments& point : points) {
        for (const std::string& text : texts) {
          longer.push_back(point);
          longer.back().emplace_back(key, text);
        }
      }
      points = longer;
    }
    return points;
  }

  void add_experiment(SweepFile& sweep, const toml::table& table, const std::vector<Assignments>& variants) {
    const auto name = required<std::string>(file_, "[[experiment]]", table, "name");
    toml::table flags = table;
    flags.erase("name");
    const Assignments of_experiment = texts_in(file_, name, flags);
    for (const Assignments& variant : variants) {
      Assignments all = of_experiment;
      std::string full_name = name;
      for (const auto& [key, value] : variant) {
        all.emplace_back(key, value);
        if (value != "none") full_name += ", " + setting_label(key, value);
      }
      SweepConfiguration configuration;
      configuration.name = full_name;
      configuration.group = "experiment";
      configuration.experiment = name;
      add(sweep, configuration, all);
    }
  }

  // Each configuration's published figures: a number by measure, and the list published_weights.
  void require_measures(const toml::table& published) const {
    for (auto&& [name, node] : published) {
      const std::string place = fmt::format("[published] {}", name.str());
      const toml::table* of_configuration = node.as_table();
      if (of_configuration == nullptr) fail(file_, place + ": must be a table of figures by measure");
      for (auto&& [key, value] : *of_configuration) {
        if (key.str() == published_weights) {
          if (!value.is_array())
            fail(file_, fmt::format("{} {}: must be a list of numbers", place, key.str()));
          continue;
        }
        find_measure(std::string(key.str()), fmt::format("{}: {}", file_, place));
        if (!value.is_number()) fail(file_, fmt::format("{} {}: must be a number", place, key.str()));
      }
    }
  }

  // The names of [weights] compare.
  std::vector<std::string> compared_weights(const toml::table& table, const SweepFile& sweep) const {
    if (table.empty()) return {};
    require_known(file_, "[weights]", table, {"compare"});
    const toml::array* names = table["compare"].as_array();
    std::vector<const SweepConfiguration*> compared;
    for (std::size_t i = 0; names != nullptr && i < names->size(); ++i) {
      const auto name = (*names)[i].value<std::string>();
      for (const SweepConfiguration& c : sweep.configurations) {
        if (c.name == name && c.group == "experiment") compared.push_back(&c);
      }
    }
    if (names == nullptr || names->size() != 2 || compared.size() != 2 || compared[0] == compared[1]) {
      fail(file_, R"([weights]: compare: must be the names of two [[experiment]]s, ["one", "other"])");
    }
    if (compared[0]->settings.shape.hidden != compared[1]->settings.shape.hidden) {
      fail(file_,
           fmt::format("[weights]: compare: {} and {} differ in hidden, so that their weights cannot be "
                       "subtracted; choose two of the same widths",
                       compared[0]->name, compared[1]->name));
    }
    return {compared[0]->name, compared[1]->name};
  }

  // Figures to compare with, under the names of configurations: a number, or a list of numbers, by key.
  Json figures(const char* title, const toml::table& table, const SweepFile& sweep) const {
    Json all = Json::object();
    const auto number = [&](const std::string& place, const toml::node& node) {
      const auto value = node.value<double>();
      if (!value) fail(file_, place + ": must be a number, or a list of numbers");
      return *value;
    };
    const std::function<Json(const std::string&, const toml::node&)> read = [&](const std::string& place,
                                                                                const toml::node& node) {
      Json json;
      if (node.is_table()) {
        for (auto&& [key, value] : *node.as_table()) {
          json[std::string(key.str())] = read(fmt::format("{} {}", place, key.str()), value);
        }
      } else if (node.is_array()) {
        for (const toml::node& entry : *node.as_array()) json.push_back(number(place, entry));
      } else {
        json = number(place, node);
      }
      return json;
    };
    for (auto&& [name, node] : table) {
      require_configuration(sweep, fmt::format("[{}]", title), std::string(name.str()));
      all[std::string(name.str())] = read(fmt::format("[{}] {}", title, name.str()), node);
    }
    return all;
  }

  // Whether there is such a configuration; throws where none of that name was ever there.
  bool require_configuration(const SweepFile& sweep, const std::string& place,
                             const std::string& name) const {
    const auto same = [&](const SweepConfiguration& c) { return c.name == name; };
    const bool there = std::any_of(sweep.configurations.begin(), sweep.configurations.end(), same);
    if (!there && !overridden_) {
      fail(file_,
           fmt::format("{}: there is no configuration {}; the names are {}", place, name, names(sweep)));
    }
    return there;
  }

  void add(SweepFile& sweep, SweepConfiguration configuration, const Assignments& own) {
    if (sweep.configurations.size() == most_configurations) {
      fail(file_, fmt::format("has more than {} configurations; leave some out", most_configurations));
    }
    const auto [other, is_new] = names_by_file_.emplace(file_name_of(configuration.name), configuration.name);
    if (!is_new) {
      fail(file_,
           fmt::format("two configurations are called {} and {}; give each a name of its own letters and "
                       "digits",
                       other->second, configuration.name));
    }
    Options options = options_;
    for (const Assignments& list : {fixed_, own}) {
      Json json;
      for (const auto& [key, value] : list) json[key] = value;
      if (!json.empty()) options.apply_config(json, file_, sweep_keys());
    }
    if (configuration.name != configuration.experiment && lacks_batch_norm(options)) return;
    const auto refuse = [&](const std::string& fault) {
      throw UsageError(fmt::format("{}: {}: {}", file_, configuration.name, fault));
    };
    try {
      configuration.settings = read_settings(options);
    } catch (const UsageError& error) {
      refuse(error.what());
    } catch (const ArgumentError& error) {
      refuse(message_of(error));
    }
    configuration.config = config_json(configuration.settings);
    configuration.config.erase("version");
    for (const Setting& setting : settings_table()) {
      if (is_of_sweep(setting)) configuration.config.erase(setting.name);
    }
    sweep.configurations.push_back(configuration);
  }

  // Whether the only fault that is switched on is one of batch norm, and there is none.
  static bool lacks_batch_norm(const Options& options) {
    Settings settings;
    setting("batch_norm").read(settings, options.text("batch-norm"));
    const bool none = settings.shape.batch_norm == BatchNormPlace::none;
    return none &&
           std::any_of(compat_switches().begin(), compat_switches().end(), [&](const CompatSwitch& fault) {
             return fault.needs_batch_norm && options.text("compat") == fault.name;
           });
  }

  void add_claim(SweepFile& sweep, const toml::table& table) const {
    Claim claim;
    require_known(file_, "[[claim]]", table, {"text", "measure", "contrast"});
    claim.text = required<std::string>(file_, "[[claim]]", table, "text");
    claim.measure = required<std::string>(file_, claim.text, table, "measure");
    find_measure(claim.measure, fmt::format("{}: {}", file_, claim.text));
    const toml::table& contrast = subtable(file_, table, "contrast");
    if (contrast.empty()) {
      fail(file_, fmt::format("{}: contrast is missing; give {{configuration = 1, other = -1}}", claim.text));
    }
    bool complete = true;
    for (auto&& [key, value] : contrast) {
      const std::string name(key.str());
      complete = require_configuration(sweep, claim.text, name) && complete;
      claim.contrast.emplace_back(name, required<double>(file_, claim.text, contrast, name.c_str()));
    }
    if (complete) {
      sweep.claims.push_back(claim);
    } else {
      sweep.claims_left_out.push_back(claim.text);
    }
  }

  static std::string names(const SweepFile& sweep) {
    std::vector<std::string> list;
    for (const SweepConfiguration& c : sweep.configurations) list.push_back(c.name);
    return fmt::format("{}", fmt::join(list, "; "));
  }

  static const std::vector<std::string>& sweep_keys() {
    static const std::vector<std::string> keys = [] {
      std::vector<std::string> list;
      for (const Setting& setting : settings_table()) {
        const bool of_program = setting.role == Setting::Role::rounding;
        if (!is_of_sweep(setting) && !of_program) list.push_back(setting.name);
      }
      return list;
    }();
    return keys;
  }

  static bool is_setting(const std::string& key) {
    return std::find(sweep_keys().begin(), sweep_keys().end(), key) != sweep_keys().end();
  }

  const std::string& file_;
  const Options& options_;
  Assignments fixed_;
  std::map<std::string, std::string> names_by_file_;  // of the configurations, by the file that each gets
  bool overridden_ = false;  // a flag took the place of an axis: configurations that claims name may be gone
};

}  // namespace

std::string setting_label(const std::string& key, const std::string& value) {
  if (key == "batch_size") return "batch " + value;
  if (key == "epochs") return value + " epochs";
  if (key == "l2") return "λ " + value;
  if (key == "learning_rate") return "rate " + value;
  if (key == "batch_norm") {
    if (value == "before") return "batch norm before the activation";
    return value == "true" || value == "after" ? "batch norm" : "no batch norm";
  }
  if (key == "hidden") return "hidden " + value;
  if (key == "compat" || key == "optimizer") return value;
  return key + " " + value;
}

SweepFile read_sweep_file(const std::string& file, const Options& options) {
  return Reader(file, options).read(read_table(file));
}

SweepFile parse_sweep_file(std::string_view text, const std::string& file, const Options& options) {
  return Reader(file, options).read(parse_table(text, file));
}

}  // namespace handgrad::app
