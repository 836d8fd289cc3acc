// The sections of a report about sweeps.
#include "report_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "report_comparisons.h"
#include "report_curves.h"
#include "report_grid.h"
#include "sweep_view.h"
#include "trainer.h"

namespace handgrad::app {

namespace {

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
Json published_section(const std::vector<Sweep>& all_sweeps) {
  std::vector<Sweep> sweeps;
  std::copy_if(all_sweeps.begin(), all_sweeps.end(), std::back_inserter(sweeps),
               [](const Sweep& sweep) { return !has_variants(sweep); });
  Json blocks = Json::array();
  Json chart = Json::array();
  for (const std::string& name : published_names(sweeps)) {
    Json columns = {text_column(""), number_column("published, one seed")};
    for (const Sweep& sweep : sweeps) {
      if (!has(sweep, name)) continue;
      const std::size_t runs = SweepTable(sweep).estimate(name, measure("test_accuracy")).count;
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
                        "Right of zero speaks for the claim, left of it against it. The interval is of one "
                        "claim alone; the verdict also corrects for their number.",
                        "difference: " + title, true, chart));
  }
  std::vector<std::string> text;
  if (sweep.plan.at("loss").is_number()) {
    text.push_back(
        fmt::format("Steps and epochs are counted to a validation loss of {}; seeds of which a run never "
                    "gets there are left out. Roughness is the standard deviation of the differences "
                    "between the losses of batches {} steps apart.",
                    sweep.plan.at("loss").get<double>(), steps_per_record));
  }
  return section("claims-" + file_name_of(rules(sweep)), "The claims, " + rules(sweep), text, blocks);
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
                         std::to_string(failed), shown(estimate(steps), 0), range_text(steps, 0),
                         shown(table.estimate(name, measure("epochs")), 1)});
    }
  }
  if (endings.empty()) return {};
  Json blocks = Json::array();
  const char* see =
      "The mean over the seeds, and a band that leaves out the lowest and the highest tenth; a curve ends "
      "where half of its seeds have stopped. Data loss alone, without the L2 penalty.";
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
        if (!row->contains("weights") || row->at("stopped") == "non_finite") continue;
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
  for (const Finding& finding : find(sweeps.front())) sentences.push_back(finding.sentence);
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
    for (const std::string& sentence : failures(sweep)) {
      sentences.push_back((sweeps.size() > 1 ? rules(sweep) + ": " : "") + sentence);
    }
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
