// The section of a report that every sweep has.
#include "report/report_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace handgrad::app {

namespace {

constexpr std::size_t most_charted = 64;  // configurations that a chart can still show at a glance

std::vector<Measure> measures_of(const std::vector<std::string>& names) {
  std::vector<Measure> list;
  for (const std::string& name : names) list.push_back(measure(name));
  return list;
}

// The configuration with the greatest mean validation accuracy, where there are several to choose from.
std::optional<std::string> best_by_validation(const Sweep& sweep, const SweepTable& table) {
  std::optional<std::string> best;
  double best_accuracy = -1;
  std::size_t choices = 0;
  for (const Json& c : configurations(sweep)) {
    const std::string name = text_of(c, "name");
    const Estimate accuracy = table.estimate(name, measure("validation_accuracy"));
    if (accuracy.count == 0) continue;
    ++choices;
    if (accuracy.mean <= best_accuracy) continue;
    best_accuracy = accuracy.mean;
    best = name;
  }
  return choices > 1 ? best : std::nullopt;
}

// Why runs of the sweep ended, each reason once.
std::vector<std::string> endings_of(const Sweep& sweep) {
  std::vector<std::string> endings;
  for (const Json& row : sweep.rows) {
    const std::string ending = text_of(row, "stopped");
    if (std::find(endings.begin(), endings.end(), ending) == endings.end()) endings.push_back(ending);
  }
  return endings;
}

// A table with a row for each configuration: its name, its means, and what else is added.
class ResultsTable {
 public:
  ResultsTable(const Sweep& sweep, const SweepTable& table) : table_(table) {
    for (const Json& c : configurations(sweep)) {
      rows_.push_back(Json::array({text_of(c, "name")}));
    }
  }

  void add_means(const std::vector<Measure>& measures, bool graded) {
    for (const Measure& m : measures) {
      add(number_column(m.title, graded), [&](const std::string& name) -> Json {
        const Estimate e = table_.estimate(name, m);
        estimates_.push_back(e);
        return graded ? graded_cell(shown(e, m.digits), e.mean) : Json(shown(e, m.digits));
      });
    }
  }

  template <typename CellOf>
  void add(const Json& column, const CellOf& cell_of) {
    columns_.push_back(column);
    for (Json& row : rows_) row.push_back(cell_of(row[0].get<std::string>()));
  }

  const std::vector<Estimate>& estimates() const { return estimates_; }

  Json block(const std::string& title, const std::string& see) const {
    const std::string figures = legend(estimates_);
    return table_block(title, figures.empty() ? see : fmt::format("{} {}.", see, figures), columns_, rows_);
  }

 private:
  const SweepTable& table_;
  Json columns_ = Json::array({text_column("configuration")});
  Json rows_ = Json::array();
  std::vector<Estimate> estimates_;
};

// How training ended, how often, and what it took.
ResultsTable endings_table(const SweepResults& sweep, const std::vector<Measure>& of_training) {
  const SweepTable& table = sweep.table;
  ResultsTable endings(sweep, table);
  endings.add(number_column("runs"),
              [&](const std::string& name) { return std::to_string(table.rows(name).size()); });
  for (const std::string& ending : endings_of(sweep)) {
    std::string title = ending;
    std::replace(title.begin(), title.end(), '_', ' ');
    endings.add(number_column(title), [&](const std::string& name) {
      const std::vector<const Json*>& rows = table.rows(name);
      const auto count = std::count_if(rows.begin(), rows.end(),
                                       [&](const Json* row) { return row->at("stopped") == ending; });
      return std::to_string(count);
    });
  }
  endings.add_means({measure("steps")}, false);
  endings.add(number_column("steps, from … to"),
              [&](const std::string& name) { return range_text(table.values(name, measure("steps")), 0); });
  endings.add_means(of_training, false);
  return endings;
}

}  // namespace

Json results_section(const SweepResults& sweep) {
  const SweepTable& table = sweep.table;
  const std::string id = file_name_of(rules(sweep));
  const std::vector<Measure> accuracies =
      measures_of({"train_accuracy", "validation_accuracy", "test_accuracy"});
  const std::vector<Measure> of_training =
      measures_of({"epochs", "steps_to_loss", "epochs_to_loss", "roughness", "seconds"});

  ResultsTable accuracy(sweep, table);
  accuracy.add(number_column("finite runs"), [&](const std::string& name) {
    const std::size_t count = table.values(name, measure("steps")).size();
    return count == 0 ? "–" : std::to_string(count);
  });
  accuracy.add_means(accuracies, true);
  accuracy.add(number_column("from … to"), [&](const std::string& name) {
    return range_text(table.values(name, accuracies.back()), accuracies.back().digits);
  });
  ResultsTable loss(sweep, table);
  loss.add_means(measures_of({"train_loss", "validation_loss", "test_loss", "l2_penalty"}), false);
  ResultsTable endings = endings_table(sweep, of_training);
  const std::vector<const Json*> charted = without_variants(sweep);
  Json chart = Json::array();
  for (const Json* c : charted) {
    const std::string name = text_of(*c, "name");
    for (const Measure& m : accuracies) add_interval(chart, name, m.title, table.estimate(name, m));
  }

  std::vector<std::string> text;
  if (const auto best = best_by_validation(sweep, table)) {
    text.push_back(fmt::format("Best by validation accuracy: {}, with {} % on validation and {} % on test.",
                               *best, shown(table.estimate(*best, accuracies[1]), 2),
                               shown(table.estimate(*best, accuracies[2]), 2)));
  }
  std::vector<Estimate> estimates;
  for (const ResultsTable* of : {&accuracy, &loss, &endings}) {
    estimates.insert(estimates.end(), of->estimates().begin(), of->estimates().end());
  }
  for (const std::string& sentence : interval_method(estimates)) text.push_back(sentence);

  Json blocks = Json::array();
  if (charted.size() <= most_charted) {
    blocks.push_back(intervals_block("results-accuracy-" + id, "Accuracy of each configuration",
                                     "The gap between training and the others is what a network is better at "
                                     "on images that it was trained on.",
                                     "accuracy %", false, chart));
  }
  blocks.push_back(accuracy.block("Accuracy as numbers", "Shares of right classes."));
  blocks.push_back(loss.block("Loss of each configuration", "Data loss, and the L2 penalty beside it."));
  std::string see = "How many runs ended in which way.";
  for (const std::string& sentence : definitions(sweep, of_training)) see += " " + sentence;
  blocks.push_back(endings.block("How training ended, and what it took", see));
  return section("results-" + id, "Results, " + rules(sweep), text, blocks);
}

}  // namespace handgrad::app
