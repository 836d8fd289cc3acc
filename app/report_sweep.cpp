// The sections of a report about sweeps.
#include "report_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report_curves.h"
#include "trainer.h"

namespace handgrad::app {

namespace {

std::string text_of(const Json& json, const char* key) {
  return json.at(key).get<std::string>();
}

std::string rules(const Sweep& sweep) {
  return text_of(sweep.plan, "rules");
}

const Json& configurations(const Sweep& sweep) {
  return sweep.plan.at("configurations");
}

const Measure& measure(const std::string& name) {
  return find_measure(name, "report");
}

// The configurations of a group, variants apart.
std::vector<const Json*> of_group(const Sweep& sweep, const std::string& group) {
  std::vector<const Json*> list;
  for (const Json& c : configurations(sweep)) {
    if (text_of(c, "group") == group && text_of(c, "name") == text_of(c, "experiment")) list.push_back(&c);
  }
  return list;
}

bool has(const Sweep& sweep, const std::string& name) {
  const Json& list = configurations(sweep);
  return std::any_of(list.begin(), list.end(), [&](const Json& c) { return text_of(c, "name") == name; });
}

bool has_variants(const Sweep& sweep) {
  const Json& list = configurations(sweep);
  return std::any_of(list.begin(), list.end(),
                     [](const Json& c) { return text_of(c, "name") != text_of(c, "experiment"); });
}

// "91.93 to 94.10", of all runs.
std::string range_text(const std::vector<double>& values, int digits) {
  if (values.empty()) return "–";
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{} to {}", shown(*least, digits), shown(*greatest, digits));
}

std::string signed_text(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:+.{}f}", value, digits) : "–";
}

std::string interval_text(const Estimate& e, int digits) {
  return std::isfinite(e.low)
             ? fmt::format("{} to {}", signed_text(e.low, digits), signed_text(e.high, digits))
             : "–";
}

std::string p_text(double p) {
  if (std::isnan(p)) return "–";
  return p < 0.0001 ? "< 0.0001" : fmt::format("{:.4f}", p);
}

// Adds a row of an intervals block, unless there is nothing to show.
void add_interval(Json& rows, const std::string& name, const std::string& series, const Estimate& e) {
  if (!std::isfinite(e.mean)) return;
  Json row = {{"name", name}, {"series", series}, {"mean", e.mean}};
  if (std::isfinite(e.low)) {
    row["low"] = e.low;
    row["high"] = e.high;
  }
  rows.push_back(row);
}

// Published figures, wherever the first sweep that has them says so; null where none does.
Json published(const std::vector<Sweep>& sweeps, const std::string& name, const char* key) {
  for (const Sweep& sweep : sweeps) {
    const Json& all = sweep.plan.at("published");
    if (all.contains(name) && all[name].contains(key)) return all[name][key];
  }
  return {};
}

std::vector<std::string> published_names(const std::vector<Sweep>& sweeps) {
  std::vector<std::string> names;
  for (const Sweep& sweep : sweeps) {
    for (const Json& c : configurations(sweep)) {
      const std::string name = text_of(c, "name");
      const bool known = std::find(names.begin(), names.end(), name) != names.end();
      if (!known && sweep.plan.at("published").contains(name)) names.push_back(name);
    }
  }
  return names;
}

constexpr const char* published_measures[] = {"train_accuracy", "validation_accuracy", "test_accuracy",
                                              "seconds",        "train_cost",          "validation_cost"};

// Per configuration that was published: the published figures beside those of each sweep.
Json published_section(const std::vector<Sweep>& sweeps) {
  Json blocks = Json::array();
  Json chart = Json::array();
  for (const std::string& name : published_names(sweeps)) {
    Json columns = {text_column(""), number_column("published, one seed")};
    for (const Sweep& sweep : sweeps) {
      if (!has(sweep, name)) continue;
      const std::size_t runs = SweepTable(sweep).runs(name);
      columns.push_back(number_column(fmt::format("{}, {} seeds", rules(sweep), runs)));
      columns.push_back(number_column("from … to"));
    }
    Json rows = Json::array();
    for (const char* key : published_measures) {
      const Measure& m = measure(key);
      const Json figure = published(sweeps, name, key);
      Json row = {m.title, figure.is_number() ? shown(figure.get<double>(), m.digits) : "–"};
      for (const Sweep& sweep : sweeps) {
        if (!has(sweep, name)) continue;
        const SweepTable table(sweep);
        row.push_back(shown(table.estimate(name, m), m.digits));
        row.push_back(range_text(table.values(name, m), m.digits));
      }
      rows.push_back(row);
    }
    blocks.push_back(
        table_block(name, "Mean ± half of its 95 % interval, and the range of all seeds.", columns, rows));
    const Json figure = published(sweeps, name, "test_accuracy");
    if (figure.is_number()) {
      chart.push_back({{"name", name}, {"series", "published"}, {"mean", figure}});
    }
    for (const Sweep& sweep : sweeps) {
      if (!has(sweep, name)) continue;
      add_interval(chart, name, rules(sweep), SweepTable(sweep).estimate(name, measure("test_accuracy")));
    }
  }
  if (blocks.empty()) return {};
  blocks.insert(
      blocks.begin(),
      intervals_block("published-test", "Test accuracy, published and ours",
                      "Whiskers are the 95 % interval of the mean over the seeds; a published point "
                      "is a single draw and has none.",
                      "test accuracy %", false, chart));
  return section("published", "The published figures beside ours",
                 {"Cost is the loss of the last recorded batch plus its L2 penalty; by the notebook's rules "
                  "the penalty in a validation cost is divided by the size of the set, not of the batch. "
                  "Seconds are training alone, shared out among the networks that train side by side."},
                 blocks);
}

Json claims_section(const Sweep& sweep) {
  const std::vector<Finding> findings = find(sweep);
  if (findings.empty()) return {};
  Json rows = Json::array();
  std::map<std::string, Json> charts;
  for (const Finding& finding : findings) {
    const Estimate& d = finding.difference;
    rows.push_back({finding.claim, to_string(finding.verdict), finding.measure,
                    signed_text(d.mean, finding.digits), interval_text(d, finding.digits),
                    p_text(finding.p_value), std::to_string(d.count)});
    add_interval(charts[finding.measure], finding.claim, "", d);
  }
  Json blocks = Json::array();
  blocks.push_back(table_block(
      "Claims put to the test",
      "Differences are taken seed by seed and are above zero where the claim is right; p is of the paired t "
      "test, corrected for the number of claims by Holm's method.",
      {text_column("claim"), text_column("verdict"), text_column("measure"), number_column("difference"),
       number_column("95 % interval"), number_column("p"), number_column("seeds")},
      rows));
  for (const auto& [title, chart] : charts) {
    if (chart.empty()) continue;
    blocks.push_back(
        intervals_block(fmt::format("claims-{}-{}", file_name_of(rules(sweep)), file_name_of(title)), title,
                        "A claim is supported where the whole interval lies right of zero, and "
                        "contradicted where it lies left of it.",
                        "difference: " + title, true, chart));
  }
  std::vector<std::string> text;
  if (sweep.plan.at("loss").is_number()) {
    text.push_back(fmt::format(
        "Steps and epochs are counted to a validation loss of {}; a run that never gets there counts with "
        "all "
        "that it was allowed. Roughness is the standard deviation of the differences between the losses of "
        "batches {} steps apart.",
        sweep.plan.at("loss").get<double>(), steps_per_record));
  }
  return section("claims-" + file_name_of(rules(sweep)), "The claims, " + rules(sweep), text, blocks);
}

std::string setting(const Json& configuration, const char* key) {
  const Json& value = configuration.at("config").at(key);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Json grid_section(const Sweep& sweep) {
  const std::vector<const Json*> grid = of_group(sweep, "grid");
  if (grid.empty()) return {};
  const SweepTable table(sweep);
  const std::string id = file_name_of(rules(sweep));
  const std::string test_accuracy = "test_accuracy";  // stands in the table, not in the chart
  Json curves = Json::array();
  Json accuracies = Json::array();
  Json rows = Json::array();
  std::vector<std::string> batch_sizes;
  std::vector<std::pair<std::string, std::string>> settings;  // epochs and λ
  const Json* best = nullptr;
  double best_accuracy = -1;
  for (const Json* c : grid) {
    const std::string name = text_of(*c, "name");
    const std::string batch = setting(*c, "batch_size");
    const std::pair<std::string, std::string> column = {setting(*c, "epochs"), setting(*c, "l2")};
    if (std::find(batch_sizes.begin(), batch_sizes.end(), batch) == batch_sizes.end())
      batch_sizes.push_back(batch);
    if (std::find(settings.begin(), settings.end(), column) == settings.end()) settings.push_back(column);
    add_train_curve(curves, table.rows(name), std::stod(column.first),
                    {{"series", batch}, {"row", column.second}, {"column", column.first}});
    Json row = {name};
    for (const std::string& key :
         {std::string("train_accuracy"), std::string("validation_accuracy"), test_accuracy}) {
      const Estimate e = table.estimate(name, measure(key));
      if (key != test_accuracy) add_interval(accuracies, name, measure(key).title, e);
      row.push_back(graded_cell(shown(e, 2), e.mean));
    }
    row.push_back(shown(table.estimate(name, measure("steps")), 0));
    row.push_back(shown(table.estimate(name, measure("epochs_to_loss")), 1));
    row.push_back(shown(table.estimate(name, measure("roughness")), 4));
    rows.push_back(row);
    const double validation = table.estimate(name, measure("validation_accuracy")).mean;
    if (validation > best_accuracy) {
      best_accuracy = validation;
      best = c;
    }
  }
  Json graded_columns = {text_column("batch size")};
  for (const auto& [epochs, l2] : settings) {
    graded_columns.push_back(number_column(fmt::format("{} epochs, λ {}", epochs, l2), true));
  }
  Json graded = Json::array();
  for (const std::string& batch : batch_sizes) {
    Json row = {batch};
    for (const auto& [epochs, l2] : settings) {
      Json cell;
      for (const Json* c : grid) {
        if (setting(*c, "batch_size") != batch || setting(*c, "epochs") != epochs || setting(*c, "l2") != l2)
          continue;
        const Estimate e = table.estimate(text_of(*c, "name"), measure("test_accuracy"));
        cell = graded_cell(shown(e, 2), e.mean);
      }
      row.push_back(cell);
    }
    graded.push_back(row);
  }
  Json blocks = Json::array();
  Json lines =
      lines_block("grid-curves-" + id, "Cost curves of the grid",
                  "Training loss over epochs: the mean over the seeds, and a band that leaves out the "
                  "lowest and the highest tenth. A curve ends where half of its seeds have stopped.",
                  {"epoch", false}, {"training loss", true}, "batch size", curves);
  lines["row_title"] = "λ";
  lines["column_title"] = "epochs";
  blocks.push_back(lines);
  blocks.push_back(intervals_block("grid-accuracy-" + id, "Training against validation accuracy",
                                   "The gap between the two is what the network learned by heart.",
                                   "accuracy %", false, accuracies));
  Json graded_table =
      table_block("Test accuracy of the grid, %",
                  "The colour goes from the least to the greatest mean; cells whose intervals "
                  "overlap may have their order by chance.",
                  graded_columns, graded);
  graded_table["grade"] = "table";
  blocks.push_back(graded_table);
  blocks.push_back(
      table_block("All of the grid", "Mean ± half of its 95 % interval over the seeds.",
                  {text_column("configuration"), number_column("train %", true),
                   number_column("validation %", true), number_column("test %", true), number_column("steps"),
                   number_column("epochs to the validation loss"), number_column("roughness")},
                  rows));
  std::vector<std::string> text;
  if (best != nullptr) {
    const std::string name = text_of(*best, "name");
    text.push_back(fmt::format("Best by validation accuracy: {}, with {} % on validation and {} % on test.",
                               name, shown(table.estimate(name, measure("validation_accuracy")), 2),
                               shown(table.estimate(name, measure("test_accuracy")), 2)));
  }
  return section("grid-" + id, "The grid, " + rules(sweep), text, blocks);
}

// Cost curves of each experiment, a line per sweep; how training ended.
Json experiments_section(const std::vector<Sweep>& sweeps) {
  Json train = Json::array();
  Json validation = Json::array();
  Json endings = Json::array();
  for (const Sweep& sweep : sweeps) {
    if (has_variants(sweep)) continue;
    const SweepTable table(sweep);
    for (const Json* c : of_group(sweep, "experiment")) {
      const std::string name = text_of(*c, "name");
      const double epochs = std::stod(setting(*c, "epochs"));
      const Json labels = {{"series", rules(sweep)}, {"column", name}};
      add_train_curve(train, table.rows(name), epochs, labels);
      add_validation_curve(validation, table.rows(name), epochs, labels);
      const auto& rows = table.rows(name);
      const auto stopped = std::count_if(
          rows.begin(), rows.end(), [](const Json* row) { return row->at("stopped") == "early_stopping"; });
      const auto failed = std::count_if(rows.begin(), rows.end(),
                                        [](const Json* row) { return row->at("stopped") == "non_finite"; });
      const std::vector<double> steps = table.values(name, measure("steps"));
      endings.push_back({name, rules(sweep), std::to_string(rows.size()), std::to_string(stopped),
                         std::to_string(failed), shown(table.estimate(name, measure("steps")), 0),
                         range_text(steps, 0), shown(table.estimate(name, measure("epochs")), 1)});
    }
  }
  if (endings.empty()) return {};
  Json blocks = Json::array();
  const char* see =
      "The mean over the seeds, and a band that leaves out the lowest and the highest tenth; a curve ends "
      "where "
      "half of its seeds have stopped. Data loss alone, without the L2 penalty.";
  blocks.push_back(lines_block("experiment-train", "Training loss of the experiments", see, {"epoch", false},
                               {"training loss", true}, "rules", train));
  blocks.push_back(lines_block("experiment-validation", "Validation loss of the experiments", see,
                               {"epoch", false}, {"validation loss", true}, "rules", validation));
  for (Json& block : blocks) block["column_title"] = "";
  blocks.push_back(table_block("How training ended",
                               "Stopped: before the last epoch, by the validation loss.",
                               {text_column("experiment"), text_column("rules"), number_column("runs"),
                                number_column("stopped"), number_column("not finite"), number_column("steps"),
                                number_column("from … to"), number_column("epochs")},
                               endings));
  return section("experiments", "The experiments", {}, blocks);
}

// Variants against the experiment that they vary, seed by seed.
Json variants_section(const Sweep& sweep) {
  if (!has_variants(sweep)) return {};
  const std::string id = file_name_of(rules(sweep));
  const SweepTable table(sweep);
  const Measure& test = measure("test_accuracy");
  struct Row {
    std::string name, experiment;
    Estimate difference;
  };
  std::vector<Row> list;
  std::vector<double> p_values;
  for (const Json& c : configurations(sweep)) {
    const std::string name = text_of(c, "name");
    const std::string experiment = text_of(c, "experiment");
    if (name == experiment || !has(sweep, experiment)) continue;
    const std::vector<double> differences = table.contrast({{name, 1}, {experiment, -1}}, test);
    list.push_back({name, experiment, estimate(differences)});
    p_values.push_back(t_test(differences));
  }
  const std::vector<double> corrected = holm(p_values);
  Json chart = Json::array();
  Json rows = Json::array();
  std::vector<std::string> text;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Row& row = list[i];
    const std::string variant = row.name.substr(std::min(row.name.size(), row.experiment.size() + 2));
    add_interval(chart, variant, row.experiment, row.difference);
    rows.push_back({row.experiment, variant, shown(table.estimate(row.name, test), 2),
                    range_text(table.values(row.name, test), 2), signed_text(row.difference.mean, 2),
                    interval_text(row.difference, 2), p_text(corrected[i])});
    if (corrected[i] < significance) {
      text.push_back(fmt::format("{}, {}: {:+.2f} points of test accuracy ({:+.2f} to {:+.2f}).",
                                 row.experiment, variant, row.difference.mean, row.difference.low,
                                 row.difference.high));
    }
  }
  if (text.empty()) text.emplace_back("No difference is distinguishable at this number of seeds.");
  Json blocks = Json::array();
  blocks.push_back(
      intervals_block("variants-test-" + id, "What each changes in test accuracy",
                      "The difference to the same experiment without it, seed by seed: left of zero "
                      "it costs accuracy. Whiskers are 95 % intervals.",
                      "difference in test accuracy, points", true, chart));
  blocks.push_back(table_block(
      "The same as numbers", "p is of the paired t test, corrected for the number of rows by Holm's method.",
      {text_column("experiment"), text_column("with"), number_column("test %"), number_column("from … to"),
       number_column("difference"), number_column("95 % interval"), number_column("p")},
      rows));
  return section("variants-" + id, "The price of each fault, " + rules(sweep), text, blocks);
}

// Ours against other runs by the same rules.
Json reference_section(const Sweep& sweep) {
  const Json& reference = sweep.plan.at("reference");
  if (reference.empty()) return {};
  const SweepTable table(sweep);
  const Measure& test = measure("test_accuracy");
  std::vector<std::string> names;
  std::vector<double> p_values;
  for (const auto& [name, figures] : reference.items()) {
    const std::vector<double> ours = table.values(name, test);
    names.push_back(name);
    p_values.push_back(ours.empty() ? std::nan("") : rank_sum_test(figures.get<std::vector<double>>(), ours));
  }
  const std::vector<double> corrected = holm(p_values);
  Json rows = Json::array();
  bool one_distribution = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto figures = reference[names[i]].get<std::vector<double>>();
    one_distribution = one_distribution && !(corrected[i] < significance);
    rows.push_back({names[i], std::to_string(figures.size()), range_text(figures, 2),
                    range_text(table.values(names[i], test), 2), p_text(p_values[i]), p_text(corrected[i])});
  }
  const std::string verdict =
      one_distribution
          ? "No difference is distinguishable: the other runs could have come from the distribution of ours."
          : "At least one experiment differs: the other runs and ours are not of one distribution.";
  return section(
      "reference-" + file_name_of(rules(sweep)), "Other runs by the same rules, " + rules(sweep), {verdict},
      Json::array({table_block(
          "Test accuracy %", "An exact rank sum test for each experiment, corrected by Holm's method.",
          {text_column("experiment"), number_column("other runs"), number_column("their range"),
           number_column("our range"), number_column("p"), number_column("p, corrected")},
          rows)}));
}

// Of the weights of each layer over all seeds.
Json weights_section(const std::vector<Sweep>& sweeps) {
  Json rows = Json::array();
  for (const Sweep& sweep : sweeps) {
    if (has_variants(sweep)) continue;
    const SweepTable table(sweep);
    for (const Json* c : of_group(sweep, "experiment")) {
      const std::string name = text_of(*c, "name");
      const Json figures = published(sweeps, name, "weight_deviation");
      std::map<std::string, std::vector<std::vector<double>>> values;  // [statistic][layer][run]
      for (const Json* row : table.rows(name)) {
        if (!row->contains("weights")) continue;
        const Json& layers = row->at("weights");
        for (const char* key : {"mean", "deviation", "least", "greatest"}) {
          values[key].resize(layers.size());
          for (std::size_t l = 0; l < layers.size(); ++l) {
            if (layers[l].at(key).is_number()) values[key][l].push_back(layers[l].at(key).get<double>());
          }
        }
      }
      for (std::size_t l = 0; l < values["mean"].size(); ++l) {
        const auto cell = [&](const char* key) { return shown(estimate(values[key][l]), 4); };
        rows.push_back({name, rules(sweep), fmt::format("W{}", l + 1), cell("mean"), cell("deviation"),
                        cell("least"), cell("greatest"),
                        figures.is_array() && l < figures.size() ? shown(figures[l].get<double>(), 4) : "–"});
      }
    }
  }
  if (rows.empty()) return {};
  return section("weight-statistics", "Weight statistics",
                 {"Of all weights of a layer at the end of training: mean over the seeds ± half of its 95 % "
                  "interval."},
                 Json::array({table_block(
                     "Weights of each layer",
                     "With L2 the standard deviations are smaller; by the notebook's rules "
                     "with batch norm they grow without limit.",
                     {text_column("experiment"), text_column("rules"), text_column("layer"),
                      number_column("mean"), number_column("standard deviation"), number_column("least"),
                      number_column("greatest"), number_column("published deviation")},
                     rows)}));
}

}  // namespace

std::vector<std::string> sweep_headlines(const std::vector<Sweep>& sweeps) {
  std::vector<std::string> sentences;
  for (const Sweep& sweep : sweeps) {
    const std::string prefix = sweeps.size() > 1 ? fmt::format("[{}] ", rules(sweep)) : "";
    for (const Finding& finding : find(sweep)) sentences.push_back(prefix + finding.sentence);
  }
  const SweepTable table(sweeps.front());
  for (const std::string& name : published_names(sweeps)) {
    const Json figure = published(sweeps, name, "test_accuracy");
    const Estimate ours = table.estimate(name, measure("test_accuracy"));
    if (!figure.is_number() || std::isnan(ours.mean)) continue;
    sentences.push_back(fmt::format(
        "{}, {}: {} % on the test set in the mean over {} seeds, {} the published {} %.", name,
        rules(sweeps.front()), shown(ours, 2), ours.count,
        ours.mean > figure.get<double>() ? "above" : "not above", shown(figure.get<double>(), 2)));
  }
  for (const Sweep& sweep : sweeps) {
    for (const std::string& sentence : failures(sweep)) sentences.push_back(sentence);
  }
  return sentences;
}

Json sweep_sections(const std::vector<Sweep>& sweeps) {
  std::vector<Json> sections;
  for (const Sweep& sweep : sweeps) sections.push_back(claims_section(sweep));
  sections.push_back(published_section(sweeps));
  for (const Sweep& sweep : sweeps) sections.push_back(grid_section(sweep));
  sections.push_back(experiments_section(sweeps));
  for (const Sweep& sweep : sweeps) sections.push_back(variants_section(sweep));
  for (const Sweep& sweep : sweeps) sections.push_back(reference_section(sweep));
  sections.push_back(weights_section(sweeps));
  Json all = Json::array();
  for (const Json& one : sections) {
    if (!one.is_null()) all.push_back(one);
  }
  return all;
}

Json sweep_facts(const std::vector<Sweep>& sweeps) {
  Json facts = Json::array();
  for (const Sweep& sweep : sweeps) {
    const Json& plan = sweep.plan;
    const auto add = [&](const char* name, const std::string& value) {
      facts.push_back({fmt::format("{}: {}", rules(sweep), name), value});
    };
    add("command", text_of(plan, "command"));
    add("runs", fmt::format("{}, of {} configurations and {} seeds", sweep.rows.size(),
                            configurations(sweep).size(), plan.at("seeds").size()));
    add("time", fmt::format("{:.1f} minutes on {} core(s) of {}", plan.at("seconds").get<double>() / 60,
                            plan.at("workers").get<int>(), text_of(plan, "processor")));
    add("versions", fmt::format("handgrad {}, LibTorch {}, {}, device {}", text_of(plan, "version"),
                                text_of(plan, "libtorch"), text_of(plan, "blas"), text_of(plan, "device")));
    add("data, SHA-256", text_of(plan, "data_sha256"));
  }
  return facts;
}

}  // namespace handgrad::app
