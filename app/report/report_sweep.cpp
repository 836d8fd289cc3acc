// The sections of a report about sweeps.
#include "report/report_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "handgrad/base/counted.h"
#include "report/report_comparisons.h"
#include "report/report_curves.h"
#include "report/report_grid.h"
#include "report/report_results.h"
#include "report/sweep_view.h"
#include "sweep/sweep_file.h"

namespace handgrad::app {

namespace {

using SweepList = std::vector<const SweepResults*>;

// The sweeps whose experiments are shown: one of variants repeats those of another, and stands for itself
// only where there is no other.
SweepList main_sweeps(const std::vector<SweepResults>& sweeps) {
  SweepList list;
  for (const SweepResults& sweep : sweeps) {
    if (!has_variants(sweep)) list.push_back(&sweep);
  }
  if (list.empty()) {
    for (const SweepResults& sweep : sweeps) list.push_back(&sweep);
  }
  return list;
}

// A published figure, or list of figures, as the first sweep says that has it; null where none does.
Json published(const SweepList& sweeps, const std::string& name, const char* key) {
  for (const SweepResults* sweep : sweeps) {
    const Json& all = sweep->plan.at("published");
    if (all.contains(name) && all[name].contains(key)) return all[name][key];
  }
  return {};
}

std::vector<std::string> published_names(const SweepList& sweeps) {
  std::vector<std::string> names;
  for (const SweepResults* sweep : sweeps) {
    for (const Json& c : configurations(*sweep)) {
      const std::string name = text_of(c, "name");
      const bool known = std::find(names.begin(), names.end(), name) != names.end();
      if (!known && sweep->plan.at("published").contains(name)) names.push_back(name);
    }
  }
  return names;
}

// Of one configuration: each published figure beside the means and ranges of the sweeps that have it.
Json published_table(const SweepList& sweeps, const std::string& name) {
  Json columns = Json::array({text_column("measure"), number_column("published")});
  std::vector<const SweepTable*> tables;
  for (const SweepResults* sweep : sweeps) {
    if (!has(*sweep, name)) continue;
    tables.push_back(&sweep->table);
    const std::size_t runs = tables.back()->estimate(name, measure("steps")).count;
    columns.push_back(number_column(fmt::format("{}, {}", rules(*sweep), counted(runs, "seed"))));
    columns.push_back(number_column("from … to"));
  }
  Json rows = Json::array();
  std::vector<Estimate> estimates;
  for (const Measure& m : measures()) {
    const Json figure = published(sweeps, name, m.name);
    if (!figure.is_number()) continue;
    Json row = {m.title, shown(figure.get<double>(), m.digits)};
    for (const SweepTable* table : tables) {
      estimates.push_back(table->estimate(name, m));
      row.push_back(shown(estimates.back(), m.digits));
      row.push_back(range_text(table->values(name, m), m.digits));
    }
    rows.push_back(row);
  }
  const std::string ours = legend(estimates);
  return table_block(name, ours.empty() ? "No run of ours stayed finite." : "Ours: " + ours + ".", columns,
                     rows);
}

// Per configuration that was published: the published figures beside those of each sweep.
Json published_section(const SweepList& sweeps) {
  const Measure test = measure("test_accuracy");
  const std::vector<std::string> names = published_names(sweeps);
  Json tables = Json::array();
  Json chart = Json::array();
  for (const std::string& name : names) {
    tables.push_back(published_table(sweeps, name));
    const Json figure = published(sweeps, name, test.name);
    if (!figure.is_number()) continue;
    chart.push_back({{"name", name}, {"series", "published"}, {"mean", figure}});
    for (const SweepResults* sweep : sweeps) {
      if (has(*sweep, name)) add_interval(chart, name, rules(*sweep), sweep->table.estimate(name, test));
    }
  }
  if (tables.empty()) return {};
  std::vector<Measure> shown_measures;
  for (const Measure& m : measures()) {
    if (std::any_of(names.begin(), names.end(),
                    [&](const std::string& name) { return published(sweeps, name, m.name).is_number(); })) {
      shown_measures.push_back(m);
    }
  }
  Json blocks = Json::array();
  blocks.push_back(intervals_block("published-test", "Test accuracy, published and ours",
                                   "Published figures beside ours.", "test accuracy %", false, chart));
  for (const Json& table : tables) blocks.push_back(table);
  return section("published", "The published figures beside ours",
                 definitions(*sweeps.front(), shown_measures), blocks);
}

Json claims_section(const SweepResults& sweep) {
  const std::vector<Finding> findings = find(sweep);
  Json rows = Json::array();
  std::map<std::string, Json> charts;
  std::vector<Measure> claimed;
  for (const Finding& finding : findings) {
    const Estimate& d = finding.difference;
    const Measure& m = finding.measure;
    rows.push_back({finding.claim, to_string(finding.verdict), m.title, signed_text(d.mean, m.digits),
                    interval_text(d, m.digits), p_text(finding.p_value), std::to_string(d.count)});
    add_interval(charts[m.title], finding.claim, "", d);
    claimed.push_back(m);
  }
  const auto tested = static_cast<std::size_t>(std::count_if(
      findings.begin(), findings.end(), [](const Finding& f) { return std::isfinite(f.p_value); }));
  Json blocks = Json::array();
  blocks.push_back(table_block(
      "Claims put to the test",
      "A difference is above zero where the claim is right. " +
          (tested > 0 ? test_method(tested) : "None is tested: that takes two seeds with all of its runs."),
      {text_column("claim"), text_column("verdict"), text_column("measure"), number_column("difference"),
       number_column("95 % interval"), number_column("p"), number_column("seeds")},
      rows));
  const bool intervals = std::any_of(findings.begin(), findings.end(),
                                     [](const Finding& f) { return has_interval(f.difference); });
  const std::string see = "Right of zero speaks for the claim, left of it against it.";
  for (const auto& [title, chart] : charts) {
    blocks.push_back(intervals_block(
        fmt::format("claims-{}-{}", file_name_of(rules(sweep)), file_name_of(title)), title,
        intervals
            ? see + " An interval is of one claim alone; the verdict also corrects for the number of claims."
            : see,
        "difference: " + title, true, chart));
  }
  return findings.empty() ? Json()
                          : section("claims-" + file_name_of(rules(sweep)), "The claims, " + rules(sweep),
                                    definitions(sweep, claimed), blocks);
}

// Cost curves of each experiment, a line per sweep.
Json experiments_section(const SweepList& sweeps) {
  Json train = Json::array();
  Json validation = Json::array();
  for (const SweepResults* sweep : sweeps) {
    const SweepTable& table = sweep->table;
    for (const Json* c : of_group(*sweep, "experiment")) {
      const std::string name = text_of(*c, "name");
      const double epochs = std::stod(setting(*c, "epochs"));
      const Json labels = {{"series", rules(*sweep)}, {"column", name}};
      add_train_curve(train, table.rows(name), epochs, labels);
      add_validation_curve(validation, table.rows(name), epochs, labels);
    }
  }
  const char* see = "Data loss alone, without the L2 penalty. ";
  Json blocks = {
      lines_block("experiment-train", "Training loss of the experiments", see + curves_legend(train),
                  {"epoch", false}, {"training loss", true}, "rules", train),
      lines_block("experiment-validation", "Validation loss of the experiments",
                  see + curves_legend(validation), {"epoch", false}, {"validation loss", true}, "rules",
                  validation)};
  for (Json& block : blocks) block["column_title"] = "";
  return section("experiments", "The experiments", {}, blocks);
}

// A statistic of the weights of a layer, by run.
using Statistics = std::map<std::string, std::vector<double>>;

// Of each layer, over the runs that stayed finite.
std::vector<Statistics> weight_statistics(const std::vector<const Json*>& runs) {
  std::vector<Statistics> layers;
  for (const Json* run : runs) {
    if (!run->contains("weights") || run->at("stopped") == "non_finite") continue;
    const Json& of_run = run->at("weights");
    layers.resize(of_run.size());
    for (std::size_t l = 0; l < layers.size(); ++l) {
      for (const auto& [key, value] : of_run[l].items()) {
        if (value.is_number()) layers[l][key].push_back(value.get<double>());
      }
    }
  }
  return layers;
}

Json weights_section(const SweepList& sweeps) {
  Json rows = Json::array();
  std::vector<Estimate> estimates;
  for (const SweepResults* sweep : sweeps) {
    const SweepTable& table = sweep->table;
    for (const Json* c : of_group(*sweep, "experiment")) {
      const std::string name = text_of(*c, "name");
      const Json figures = published(sweeps, name, published_weights);
      std::vector<Statistics> layers = weight_statistics(table.rows(name));
      for (std::size_t l = 0; l < layers.size(); ++l) {
        const auto cell = [&](const char* key, const Range& possible = {}) {
          estimates.push_back(estimate(layers[l][key], possible));
          return shown(estimates.back(), 4);
        };
        rows.push_back({name, rules(*sweep), fmt::format("W{}", l + 1), cell("mean"),
                        cell("deviation", {0, Range().high}), cell("least"), cell("greatest"),
                        figures.is_array() && l < figures.size() ? shown(figures[l].get<double>(), 4) : "–"});
      }
    }
  }
  return section("weight-statistics", "Weight statistics", {},
                 Json::array({table_block(
                     "Weights of each layer",
                     "Of all weights of a layer at the end of training. " + legend(estimates) + ".",
                     {text_column("experiment"), text_column("rules"), text_column("layer"),
                      number_column("mean"), number_column("standard deviation"), number_column("least"),
                      number_column("greatest"), number_column("published deviation")},
                     rows)}));
}

}  // namespace

std::vector<std::string> sweep_headlines(const std::vector<SweepResults>& sweeps) {
  std::vector<std::string> sentences;
  for (const Finding& finding : find(sweeps.front())) sentences.push_back(finding.sentence);
  const SweepTable& table = sweeps.front().table;
  const Measure test = measure("test_accuracy");
  const SweepList shown_sweeps = main_sweeps(sweeps);
  for (const std::string& name : published_names(shown_sweeps)) {
    const Json figure = published(shown_sweeps, name, test.name);
    const Estimate ours = table.estimate(name, test);
    if (!figure.is_number() || std::isnan(ours.mean)) continue;
    sentences.push_back(fmt::format(
        "{}, {}: {} % on the test set {}, {} the published {} %.", name, rules(sweeps.front()),
        shown(ours, test.digits),
        ours.count == 1 ? "with one seed" : fmt::format("in the mean over {} seeds", ours.count),
        ours.mean > figure.get<double>() ? "above" : "not above", shown(figure.get<double>(), test.digits)));
  }
  for (const SweepResults& sweep : sweeps) {
    for (const std::string& sentence : failures(sweep)) {
      sentences.push_back((sweeps.size() > 1 ? rules(sweep) + ": " : "") + sentence);
    }
  }
  return sentences;
}

Json sweep_sections(const std::vector<SweepResults>& sweeps) {
  const SweepList shown_sweeps = main_sweeps(sweeps);
  Json sections = Json::array();
  for (const SweepResults& sweep : sweeps) add_section(sections, claims_section(sweep));
  for (const SweepResults& sweep : sweeps) add_section(sections, results_section(sweep));
  add_section(sections, published_section(shown_sweeps));
  for (const SweepResults& sweep : sweeps) add_section(sections, grid_section(sweep));
  add_section(sections, experiments_section(shown_sweeps));
  for (const SweepResults& sweep : sweeps) add_section(sections, variants_section(sweep));
  for (const SweepResults& sweep : sweeps) add_section(sections, reference_section(sweep));
  add_section(sections, switches_section(sweeps));
  add_section(sections, weights_section(shown_sweeps));
  return sections;
}

Json sweep_facts(const std::vector<SweepResults>& sweeps) {
  Json facts = Json::array();
  for (const SweepResults& sweep : sweeps) {
    const Json& plan = sweep.plan;
    const auto add = [&](const char* name, const std::string& value) {
      facts.push_back({fmt::format("{}: {}", rules(sweep), name), value});
    };
    add("command", text_of(plan, "command"));
    add("runs", fmt::format("{}, of {} and {}", sweep.rows.size(),
                            counted(configurations(sweep).size(), "configuration"),
                            counted(plan.at("seeds").size(), "seed")));
    add("time",
        fmt::format("{} on {} of {}", duration_text(sweep),
                    counted(plan.at("workers").get<std::size_t>(), "core"), text_of(plan, "processor")));
    add("versions", fmt::format("handgrad {}, LibTorch {}, {}, device {}", text_of(plan, "version"),
                                text_of(plan, "libtorch"), text_of(plan, "blas"), text_of(plan, "device")));
    add("data, SHA-256", text_of(plan, "data_sha256"));
  }
  return facts;
}

}  // namespace handgrad::app
