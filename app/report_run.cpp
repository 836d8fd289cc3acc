// The sections of a report about single training runs.
#include "report_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "errors.h"
#include "file.h"
#include "measures.h"
#include "report_curves.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_points = 200;
constexpr std::size_t most_curves = 8;  // networks of a run that are drawn

std::vector<Json> read_lines(const fs::path& path) {
  const Bytes bytes = read_file(path);
  std::istringstream stream(std::string(bytes.begin(), bytes.end()));
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) {
    Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded()) {
      throw ModelError(
          fmt::format("{}: line {} is not JSON; the file is damaged", path.string(), lines.size() + 1));
    }
    lines.push_back(std::move(json));
  }
  return lines;
}

// "run", or "run, network 3" of several.
std::string series_name(const TrainedRun& run, std::size_t replica) {
  const bool only = run.summary.at("replicas").size() == 1;
  return only ? run.name : fmt::format("{}, network {}", run.name, replica + 1);
}

// One network's values of a key in the records of a kind, thinned out.
void add_curve(Json& rows, const TrainedRun& run, std::size_t replica, const char* kind, const char* key,
               const std::string& series) {
  std::vector<double> steps;
  std::vector<double> values;
  for (const Json& record : run.metrics) {
    if (record.at("kind") != kind || !record.at(key).at(replica).is_number()) continue;
    steps.push_back(record.at("step").get<double>());
    values.push_back(record.at(key).at(replica).get<double>());
  }
  const std::vector<double> x = thinned(steps, most_points);
  const std::vector<double> y = thinned(values, most_points);
  for (std::size_t i = 0; i < x.size(); ++i) rows.push_back({{"x", x[i]}, {"y", y[i]}, {"series", series}});
}

std::string percent(const Json& metrics) {
  return metrics.is_null() ? "–" : shown(100 * metrics.at("accuracy").get<double>(), 2);
}

std::string loss(const Json& metrics) {
  return metrics.is_null() || !metrics.at("loss").is_number() ? "–"
                                                              : shown(metrics.at("loss").get<double>(), 4);
}

}  // namespace

TrainedRun read_run(const fs::path& path) {
  TrainedRun run;
  run.path = path;
  run.name = fs::absolute(path).lexically_normal().filename().string();
  if (run.name.empty()) run.name = fs::absolute(path).lexically_normal().parent_path().filename().string();
  if (!fs::exists(path / "config.json")) {
    throw ModelError(fmt::format("{}: is neither a run nor a sweep: it has no config.json and no sweep.json",
                                 path.string()));
  }
  if (!fs::exists(path / "summary.json")) {
    throw ModelError(fmt::format("{}: has no summary.json; the run did not finish", path.string()));
  }
  run.config = read_json(path / "config.json");
  run.summary = read_json(path / "summary.json");
  run.metrics = read_lines(path / "metrics.jsonl");
  return run;
}

std::vector<std::string> run_headlines(const std::vector<TrainedRun>& runs) {
  std::vector<std::string> sentences;
  for (const TrainedRun& run : runs) {
    const Json& replicas = run.summary.at("replicas");
    const Json& first = replicas.at(0);
    sentences.push_back(fmt::format(
        "{}: {}, {} % on the test set{} after {} steps; stopped: {}.", run.name,
        run.summary.at("architecture").get<std::string>(), percent(first.at("test")),
        replicas.size() > 1 ? fmt::format(" (first of {} networks)", replicas.size()) : "",
        run.summary.at("steps").get<std::int64_t>(), run.summary.at("stopped").get<std::string>()));
    for (const Json& replica : replicas) {
      if (!replica.contains("fault")) continue;
      sentences.push_back(fmt::format("{}, seed {}: {}.", run.name, replica.at("seed").get<std::uint64_t>(),
                                      replica.at("fault").get<std::string>()));
    }
  }
  if (runs.size() > 1) {
    sentences.emplace_back(
        "Runs with one seed each do not tell what a setting does; `handgrad sweep` compares over many "
        "seeds.");
  }
  return sentences;
}

Json run_sections(const std::vector<TrainedRun>& runs) {
  Json results = Json::array();
  Json train = Json::array();
  Json validation = Json::array();
  Json accuracy = Json::array();
  for (const TrainedRun& run : runs) {
    const Json& replicas = run.summary.at("replicas");
    for (std::size_t r = 0; r < replicas.size(); ++r) {
      const Json& replica = replicas[r];
      const std::string name = series_name(run, r);
      results.push_back({name, std::to_string(replica.at("seed").get<std::uint64_t>()),
                         percent(replica.at("train")), percent(replica.at("validation")),
                         percent(replica.at("test")), loss(replica.at("train")),
                         loss(replica.at("validation")), loss(replica.at("test")),
                         std::to_string(replica.at("best_step").get<std::int64_t>()),
                         replica.at("stopped").get<std::string>()});
      if (r >= most_curves) continue;
      add_curve(train, run, r, "train", "loss", name);
      add_curve(validation, run, r, "evaluation", "validation_loss", name);
      add_curve(accuracy, run, r, "evaluation", "validation_accuracy", name);
    }
  }
  Json blocks = Json::array();
  blocks.push_back(table_block(
      "Results", "Of the parameters with the least validation loss.",
      {text_column("run"), number_column("seed"), number_column("train %"), number_column("validation %"),
       number_column("test %"), number_column("train loss"), number_column("validation loss"),
       number_column("test loss"), number_column("best step"), text_column("stopped")},
      results));
  const Axis steps{"step", false};
  if (!train.empty()) {
    blocks.push_back(lines_block("train-loss", "Training loss", "Of every 100th batch, neighbours averaged.",
                                 steps, {"training loss", true}, "run", train));
  }
  if (!validation.empty()) {
    blocks.push_back(lines_block("validation-loss", "Validation loss",
                                 "Where it rises while the training loss falls, the network learns by heart.",
                                 steps, {"validation loss", true}, "run", validation));
    blocks.push_back(lines_block("validation-accuracy", "Validation accuracy",
                                 "The share of right answers on images that are not trained on.", steps,
                                 {"share of right answers", false}, "run", accuracy));
  }
  Json settings = Json::array();
  for (const auto& [key, value] : runs.front().config.items()) {
    Json row = {key};
    for (const TrainedRun& run : runs) {
      row.push_back(
          run.config.contains(key)
              ? (run.config[key].is_string() ? run.config[key].get<std::string>() : run.config[key].dump())
              : "–");
    }
    settings.push_back(row);
  }
  Json columns = {text_column("setting")};
  for (const TrainedRun& run : runs) columns.push_back(text_column(run.name));
  Json sections = Json::array();
  sections.push_back(section("results", "Results", {}, blocks));
  sections.push_back(
      section("settings", "Settings", {},
              Json::array({table_block("Settings", "What each run was told.", columns, settings)})));
  return sections;
}

Json run_facts(const std::vector<TrainedRun>& runs) {
  Json facts = Json::array();
  for (const TrainedRun& run : runs) {
    const Json& summary = run.summary;
    facts.push_back(
        {run.name + ": time",
         fmt::format("{:.1f} s, {:.1f} µs a step, {} thread(s)", summary.at("seconds").get<double>(),
                     summary.at("microseconds_per_step").get<double>(), summary.at("threads").get<int>())});
    facts.push_back(
        {run.name + ": versions",
         fmt::format("handgrad {}, LibTorch {}, {}, device {}", summary.at("version").get<std::string>(),
                     summary.at("libtorch").get<std::string>(), summary.at("blas").get<std::string>(),
                     summary.at("device").get<std::string>())});
    facts.push_back({run.name + ": data, SHA-256", summary.at("data_sha256").get<std::string>()});
  }
  return facts;
}

}  // namespace handgrad::app
