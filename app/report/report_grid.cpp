// The section of a report about the grid of a sweep.
#include "report/report_grid.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "report/report_curves.h"
#include "sweep/sweep_file.h"

namespace handgrad::app {

namespace {

// The settings that differ within a grid, the slowest first, as its file names them.
std::vector<std::string> axes_of(const std::vector<const Json*>& grid) {
  // Where along the grid the value of an axis changes: of a faster one more often.
  using Changes = std::vector<std::size_t>;
  std::vector<std::pair<Changes, std::string>> axes;
  for (const auto& [key, value] : grid.front()->at("config").items()) {
    Changes changes;
    for (std::size_t i = 1; i < grid.size(); ++i) {
      if (grid[i]->at("config").at(key) != grid[i - 1]->at("config").at(key)) changes.push_back(i);
    }
    // A setting that only follows another is no axis of its own.
    const bool follows =
        std::any_of(axes.begin(), axes.end(), [&](const auto& axis) { return axis.first == changes; });
    if (!changes.empty() && !follows) axes.emplace_back(changes, key);
  }
  std::stable_sort(axes.begin(), axes.end(),
                   [](const auto& a, const auto& b) { return a.first.size() < b.first.size(); });
  std::vector<std::string> keys;
  for (const auto& [changes, key] : axes) keys.push_back(key);
  return keys;
}

std::string axis_title(std::string key) {
  if (key == "l2") return "λ";
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

// "50 epochs, λ 0.01": the values of all axes but the first.
std::string column_of(const Json& configuration, const std::vector<std::string>& axes) {
  std::vector<std::string> labels;
  for (std::size_t i = 1; i < axes.size(); ++i) {
    labels.push_back(setting_label(axes[i], setting(configuration, axes[i].c_str())));
  }
  return fmt::format("{}", fmt::join(labels, ", "));
}

// Test accuracies: a row for each value of the first axis, a column for each point of the others.
Json accuracy_table(const SweepTable& table, const std::vector<const Json*>& grid,
                    const std::vector<std::string>& axes) {
  const Measure test = measure("test_accuracy");
  Json columns = Json::array({text_column(axis_title(axes.front()))});
  Json rows = Json::array();
  std::vector<Estimate> estimates;
  for (const Json* c : grid) {
    const std::string value = setting(*c, axes.front().c_str());
    if (rows.empty() || rows.back()[0] != value) rows.push_back(Json::array({value}));
    if (rows.size() == 1) columns.push_back(number_column(column_of(*c, axes), true));
    estimates.push_back(table.estimate(text_of(*c, "name"), test));
    rows.back().push_back(graded_cell(shown(estimates.back(), test.digits), estimates.back().mean));
  }
  std::string see = legend(estimates) + ". The colour goes from the least to the greatest.";
  if (std::any_of(estimates.begin(), estimates.end(), has_interval)) {
    see += " Cells whose intervals overlap may have their order by chance.";
  }
  Json block = table_block("Test accuracy of the grid, %", see, columns, rows);
  block["grade"] = "table";
  return block;
}

// A curve for each configuration: the axes are told apart by colour, by column and by row.
Json cost_curves(const Sweep& sweep, const SweepTable& table, const std::vector<const Json*>& grid,
                 const std::vector<std::string>& axes) {
  constexpr const char* places[] = {"series", "column", "row"};
  Json curves = Json::array();
  for (const Json* c : grid) {
    Json labels = Json::object();
    for (std::size_t i = 0; i < axes.size(); ++i) labels[places[i]] = setting(*c, axes[i].c_str());
    add_train_curve(curves, table.rows(text_of(*c, "name")), std::stod(setting(*c, "epochs")), labels);
  }
  Json lines = lines_block("grid-curves-" + file_name_of(rules(sweep)), "Cost curves of the grid",
                           "Training loss over epochs. " + curves_legend(curves), {"epoch", false},
                           {"training loss", true}, axes.empty() ? "" : axis_title(axes[0]), curves);
  if (axes.size() > 1) lines["column_title"] = axis_title(axes[1]);
  if (axes.size() > 2) lines["row_title"] = axis_title(axes[2]);
  return lines;
}

}  // namespace

Json grid_section(const SweepResults& sweep) {
  constexpr std::size_t most_axes = 3;
  const std::vector<const Json*> grid = of_group(sweep, "grid");
  if (grid.empty()) return {};
  const SweepTable& table = sweep.table;
  const std::vector<std::string> axes = axes_of(grid);
  Json blocks = Json::array();
  if (axes.size() <= most_axes) blocks.push_back(cost_curves(sweep, table, grid, axes));
  if (axes.size() > 1 && axes.size() <= most_axes) blocks.push_back(accuracy_table(table, grid, axes));
  return section("grid-" + file_name_of(rules(sweep)), "The grid, " + rules(sweep), {}, blocks);
}

}  // namespace handgrad::app
