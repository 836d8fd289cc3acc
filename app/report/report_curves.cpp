// Curves over steps.
#include "report/report_curves.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "handgrad/train/trainer.h"

namespace handgrad::app {

namespace {

constexpr std::size_t points_per_curve = 50;

// One curve's values, each at its number of epochs.
using Curve = std::vector<std::pair<double, double>>;

void add_band(Json& rows, const std::vector<Curve>& curves, double epochs, const Json& labels) {
  const double width = epochs / static_cast<double>(points_per_curve);
  for (std::size_t point = 0; point < points_per_curve; ++point) {
    const double end = width * static_cast<double>(point + 1);
    std::vector<double> values;  // the mean of each curve in this part
    for (const Curve& curve : curves) {
      double sum = 0;
      int count = 0;
      for (const auto& [x, y] : curve) {
        if (x <= end - width || x > end * (1 + 1e-9)) continue;
        sum += y;
        ++count;
      }
      if (count > 0 && std::isfinite(sum)) values.push_back(sum / count);
    }
    if (values.empty() || 2 * values.size() < curves.size()) continue;
    std::sort(values.begin(), values.end());
    const std::size_t tenth = values.size() / 10;
    Json row = labels;
    row["x"] = end;
    row["y"] = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    if (curves.size() > 1) {
      row["low"] = values[tenth];
      row["high"] = values[values.size() - 1 - tenth];
    }
    rows.push_back(row);
  }
}

template <typename PointsOf>
void add_curves(Json& rows, const std::vector<const Json*>& runs, double epochs, const Json& labels,
                const PointsOf& points_of) {
  std::vector<Curve> curves;
  for (const Json* run : runs) {
    if (run->at("stopped") == "non_finite") continue;
    const auto per_epoch = run->at("steps_per_epoch").get<double>();
    curves.push_back(points_of(*run, per_epoch));
  }
  add_band(rows, curves, epochs, labels);
}

}  // namespace

void add_train_curve(Json& rows, const std::vector<const Json*>& runs, double epochs, const Json& labels) {
  add_curves(rows, runs, epochs, labels, [](const Json& run, double per_epoch) {
    Curve curve;
    double step = 0;
    for (const Json& loss : run.at("train_curve")) {
      step += static_cast<double>(steps_per_record);
      if (loss.is_number()) curve.emplace_back(step / per_epoch, loss.get<double>());
    }
    return curve;
  });
}

void add_validation_curve(Json& rows, const std::vector<const Json*>& runs, double epochs,
                          const Json& labels) {
  add_curves(rows, runs, epochs, labels, [](const Json& run, double per_epoch) {
    Curve curve;
    for (const Json& e : run.at("evaluations")) {
      if (e.at(1).is_number()) curve.emplace_back(e.at(0).get<double>() / per_epoch, e.at(1).get<double>());
    }
    return curve;
  });
}

std::string curves_legend(const Json& rows) {
  const bool bands =
      std::any_of(rows.begin(), rows.end(), [](const Json& row) { return row.contains("low"); });
  if (!bands) return "Of one seed each.";
  return "The mean over the seeds, and a band from the least to the greatest, of ten seeds and more without "
         "the lowest and the highest tenth; a curve ends where half of its seeds have stopped.";
}

std::vector<double> thinned(const std::vector<double>& values, std::size_t most) {
  const std::size_t size = (values.size() + most - 1) / std::max<std::size_t>(most, 1);
  std::vector<double> means;
  for (std::size_t begin = 0; begin < values.size(); begin += size) {
    const std::size_t end = std::min(begin + size, values.size());
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = values.begin() + static_cast<std::ptrdiff_t>(end);
    means.push_back(std::accumulate(first, last, 0.0) / static_cast<double>(end - begin));
  }
  return means;
}

}  // namespace handgrad::app
