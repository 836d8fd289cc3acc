// The section of a report about the grid of a sweep.
#include "report_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "report_curves.h"

namespace handgrad::app {

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
  // Curves and cells are told apart by batch size, epochs and λ: with more axes they would hide each other.
  const bool one_per_cell = grid.size() == batch_sizes.size() * settings.size();
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
  if (one_per_cell) blocks.push_back(lines);
  blocks.push_back(intervals_block("grid-accuracy-" + id, "Training against validation accuracy",
                                   "The gap between the two is what the network learned by heart.",
                                   "accuracy %", false, accuracies));
  Json graded_table =
      table_block("Test accuracy of the grid, %",
                  "The colour goes from the least to the greatest mean; cells whose intervals "
                  "overlap may have their order by chance.",
                  graded_columns, graded);
  graded_table["grade"] = "table";
  if (one_per_cell) blocks.push_back(graded_table);
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

}  // namespace handgrad::app
