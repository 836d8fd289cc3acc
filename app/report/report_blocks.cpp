// The building blocks of a report.
#include "report/report_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "cli/page.h"

namespace handgrad::app {

namespace {

constexpr std::int64_t histogram_bins = 40;

Json chart(const char* type, const std::string& id, const std::string& title, const std::string& see) {
  return {{"type", type}, {"id", id}, {"title", title}, {"see", see}};
}

Json to_json(const Axis& axis) {
  return {{"title", axis.title}, {"log", axis.log}};
}

bool says_nothing(const Json& cell) {
  const Json& text = cell.is_object() ? cell.at("text") : cell;
  if (!text.is_string()) return text.is_null();
  const auto& words = text.get_ref<const std::string&>();
  return words.empty() || words == "–";
}

bool has_content(const Json& block) {
  return !block.at(block.at("type") == "images" ? "tiles" : "rows").empty();
}

Json picture_json(const std::string& caption, const at::Tensor& picture, bool diverging) {
  const at::Tensor bytes = picture.to(at::kCPU, at::kByte).contiguous();
  return {{"caption", caption},
          {"rows", bytes.size(0)},
          {"columns", bytes.size(1)},
          {"diverging", diverging},
          {"pixels", base64(bytes.data_ptr<std::uint8_t>(), static_cast<std::size_t>(bytes.numel()))}};
}

}  // namespace

Json text_column(const std::string& title) {
  return {{"title", title}};
}

Json number_column(const std::string& title, bool graded) {
  return {{"title", title}, {"align", "right"}, {"grade", graded}};
}

Json graded_cell(const std::string& text, double value) {
  if (!std::isfinite(value)) return text;
  return {{"text", text}, {"value", value}};
}

Json table_block(const std::string& title, const std::string& see, const Json& columns, const Json& rows) {
  Json kept_columns = Json::array();
  Json kept_rows = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) kept_rows.push_back(Json::array());
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (std::all_of(rows.begin(), rows.end(), [&](const Json& row) { return says_nothing(row.at(c)); })) {
      continue;
    }
    kept_columns.push_back(columns[c]);
    for (std::size_t i = 0; i < rows.size(); ++i) kept_rows[i].push_back(rows[i].at(c));
  }
  if (kept_columns.size() < 2) kept_rows = Json::array();
  return {{"type", "table"}, {"title", title}, {"see", see}, {"columns", kept_columns}, {"rows", kept_rows}};
}

Json lines_block(const std::string& id, const std::string& title, const std::string& see, const Axis& x,
                 const Axis& y, const std::string& series_title, const Json& rows) {
  Json block = chart("lines", id, title, see);
  block["x"] = to_json(x);
  block["y"] = to_json(y);
  block["series_title"] = series_title;
  block["rows"] = rows;
  return block;
}

Json intervals_block(const std::string& id, const std::string& title, const std::string& see,
                     const std::string& x_title, bool zero, const Json& rows) {
  const bool whiskers =
      std::any_of(rows.begin(), rows.end(), [](const Json& row) { return row.contains("low"); });
  Json block = chart("intervals", id, title,
                     see + (whiskers ? " Whiskers are 95 % intervals."
                                     : " No point has whiskers, because none has an interval."));
  block["x"] = {{"title", x_title}};
  block["zero"] = zero;
  block["rows"] = rows;
  return block;
}

Json histograms_block(const std::string& id, const std::string& title, const std::string& see,
                      const std::string& x_title, const Json& rows) {
  Json block = chart("histograms", id, title, see);
  block["x"] = {{"title", x_title}};
  block["rows"] = rows;
  return block;
}

Json heatmap_block(const std::string& id, const std::string& title, const std::string& see,
                   const std::string& x_title, const std::string& y_title, bool diverging, bool labels,
                   const Json& rows) {
  Json block = chart("heatmap", id, title, see);
  block["x"] = {{"title", x_title}};
  block["y"] = {{"title", y_title}};
  block["diverging"] = diverging;
  block["labels"] = labels;
  block["rows"] = rows;
  return block;
}

Json images_block(const std::string& id, const std::string& title, const std::string& see,
                  const Json& tiles) {
  Json block = chart("images", id, title, see);
  block["tiles"] = tiles;
  return block;
}

Json tile(const std::string& caption, const at::Tensor& picture) {
  return picture_json(caption, picture, false);
}

Json diverging_tile(const std::string& caption, const at::Tensor& values) {
  const double largest = std::max(values.abs().max().item<double>(), 1e-30);
  return picture_json(caption, (values * (127 / largest) + 128).round(), true);
}

Json section(const std::string& id, const std::string& title, const std::vector<std::string>& text,
             const Json& blocks) {
  Json kept = Json::array();
  std::copy_if(blocks.begin(), blocks.end(), std::back_inserter(kept), has_content);
  if (text.empty() && kept.empty()) return {};
  return {{"id", id}, {"title", title}, {"text", text}, {"blocks", kept}};
}

void add_section(Json& sections, const Json& section) {
  if (!section.is_null()) sections.push_back(section);
}

void add_histograms(Json& rows, const std::string& panel,
                    const std::vector<std::pair<std::string, at::Tensor>>& series) {
  double least = 0;
  double greatest = 0;
  for (const auto& [name, values] : series) {
    least = std::min(least, values.min().item<double>());
    greatest = std::max(greatest, values.max().item<double>());
  }
  const double width = std::max((greatest - least) / static_cast<double>(histogram_bins), 1e-30);
  for (const auto& [name, values] : series) {
    const at::Tensor counts =
        at::histc(values.to(at::kCPU, at::kFloat), histogram_bins, least, greatest).to(at::kLong);
    for (std::int64_t bin = 0; bin < histogram_bins; ++bin) {
      const double from = least + width * static_cast<double>(bin);
      rows.push_back({{"panel", panel},
                      {"series", name},
                      {"from", from},
                      {"to", from + width},
                      {"count", counts[bin].item<std::int64_t>()}});
    }
  }
}

}  // namespace handgrad::app
