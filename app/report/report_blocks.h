// The building blocks of a report: what the scripts of page/ draw, as JSON.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "cli/json.h"

namespace handgrad::app {

// The axis of a chart.
struct Axis {
  std::string title;
  bool log = false;
};

Json text_column(const std::string& title);
Json number_column(const std::string& title, bool graded = false);
// A cell of a graded column, coloured by its value.
Json graded_cell(const std::string& text, double value);

// `see` says what to see in it. Columns with nothing but "–" in their cells are left out, and the rows with
// them where no more than their names is left.
Json table_block(const std::string& title, const std::string& see, const Json& columns, const Json& rows);

// rows: {x, y, [low, high], [series], [row], [column]}.
Json lines_block(const std::string& id, const std::string& title, const std::string& see, const Axis& x,
                 const Axis& y, const std::string& series_title, const Json& rows);

// rows: {name, [series], mean, [low, high], [note]}. Adds to `see` whether there are whiskers.
Json intervals_block(const std::string& id, const std::string& title, const std::string& see,
                     const std::string& x_title, bool zero, const Json& rows);

// rows: {panel, series, from, to, count}.
Json histograms_block(const std::string& id, const std::string& title, const std::string& see,
                      const std::string& x_title, const Json& rows);

// rows: {[panel], x, y, value}.
Json heatmap_block(const std::string& id, const std::string& title, const std::string& see,
                   const std::string& x_title, const std::string& y_title, bool diverging, bool labels,
                   const Json& rows);

Json images_block(const std::string& id, const std::string& title, const std::string& see, const Json& tiles);
// A picture [rows,columns] of bytes.
Json tile(const std::string& caption, const at::Tensor& picture);
// A picture of signed values, on a scale whose middle is 0.
Json diverging_tile(const std::string& caption, const at::Tensor& values);

// Leaves out blocks without rows or tiles; null where neither text nor a block is left.
Json section(const std::string& id, const std::string& title, const std::vector<std::string>& text,
             const Json& blocks);

// Adds a section to a list of them, unless it is null.
void add_section(Json& sections, const Json& section);

// Counts of values in equal bins over the range of all series, as rows of a histograms block.
void add_histograms(Json& rows, const std::string& panel,
                    const std::vector<std::pair<std::string, at::Tensor>>& series);

}  // namespace handgrad::app
