// The sections of a report about single training runs.
#include "report/report_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/train/trainer.h"
#include "report/report_curves.h"
#include "report/sweep_view.h"
#include "sweep/findings.h"
#include "sweep/measures.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_points = 200;
constexpr std::size_t most_curves = 8;  // networks of a run that are drawn

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

std::string accuracy_percent(const Json& metrics) {
  return metrics.is_null() ? "–" : shown(100 * metrics.at("accuracy").get<double>(), 2);
}

// In percent, of the networks that stayed finite.
Estimate test_accuracy(const TrainedRun& run) {
  std::vector<double> values;
  for (const Json& replica : run.summary.at("replicas")) {
    if (!replica.contains("fault")) values.push_back(100 * replica.at("test").at("accuracy").get<double>());
  }
  return estimate(values, find_measure("test_accuracy", "report").possible);
}

// Whether the run kept the parameters with the least validation loss, and not the last ones.
bool kept_best(const TrainedRun& run) {
  const auto compat = run.config.value("compat", std::string("none"));
  const bool delta_stop = compat == "notebook" || compat.find("delta-stop") != std::string::npos;
  return !delta_stop && !run.summary.at("replicas").at(0).at("validation").is_null();
}

// Which parameters the figures of the runs are of.
std::string kept_parameters(const std::vector<TrainedRun>& runs) {
  std::vector<std::string> with_last;
  for (const TrainedRun& run : runs) {
    if (!kept_best(run)) with_last.push_back(run.name);
  }
  if (with_last.size() == runs.size()) return "Of the last parameters.";
  if (with_last.empty()) return "Of the parameters with the least validation loss.";
  return fmt::format("Of the parameters with the least validation loss; of the last ones in {}.",
                     fmt::join(with_last, ", "));
}

// Whether a curve has so many points that neighbours are drawn as one.
bool thins_out(const std::vector<TrainedRun>& runs, const char* kind) {
  return std::any_of(runs.begin(), runs.end(), [&](const TrainedRun& run) {
    const auto points = std::count_if(run.metrics.begin(), run.metrics.end(),
                                      [&](const Json& record) { return record.at("kind") == kind; });
    return static_cast<std::size_t>(points) > most_points;
  });
}

std::string loss(const Json& metrics) {
  return metrics.is_null() || !metrics.at("loss").is_number() ? "–"
                                                              : shown(metrics.at("loss").get<double>(), 4);
}

Json settings_table_of(const std::vector<TrainedRun>& runs) {
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
  Json columns = Json::array({text_column("setting")});
  for (const TrainedRun& run : runs) columns.push_back(text_column(run.name));
  return table_block("Settings", "What each run was told.", columns, settings);
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
  run.metrics = read_json_lines(path / "metrics.jsonl");
  return run;
}

void make_names_distinct(std::vector<TrainedRun>& runs) {
  std::set<std::string> taken;
  for (TrainedRun& run : runs) {
    const std::string name = run.name;
    for (int number = 2; !taken.insert(run.name).second; ++number)
      run.name = fmt::format("{} ({})", name, number);
  }
}

std::string architectures(const std::vector<TrainedRun>& runs) {
  std::vector<std::string> list;
  for (const TrainedRun& run : runs) {
    const auto architecture = run.summary.at("architecture").get<std::string>();
    if (std::find(list.begin(), list.end(), architecture) == list.end()) list.push_back(architecture);
  }
  return fmt::format("{}", fmt::join(list, " · "));
}

std::string network_name(const TrainedRun& run, std::size_t replica) {
  const bool only = run.summary.at("replicas").size() == 1;
  return only ? run.name : fmt::format("{}, network {}", run.name, replica + 1);
}

std::vector<std::string> run_headlines(const std::vector<TrainedRun>& runs) {
  std::vector<std::string> sentences;
  for (const TrainedRun& run : runs) {
    const Json& replicas = run.summary.at("replicas");
    const Estimate test = test_accuracy(run);
    sentences.push_back(fmt::format(
        "{}: {}, {}after {}; stopped: {}.", run.name, run.summary.at("architecture").get<std::string>(),
        test.count == 0
            ? ""
            : fmt::format("{} % on the test set{} ", shown(test, 2),
                          test.count == 1 ? "" : fmt::format(" in the mean over {} networks", test.count)),
        counted(run.summary.at("steps").get<std::int64_t>(), "step"),
        run.summary.at("stopped").get<std::string>()));
    for (const Json& replica : replicas) {
      if (!replica.contains("fault")) continue;
      sentences.push_back(fmt::format("{}, seed {}: {}.", run.name, replica.at("seed").get<std::uint64_t>(),
                                      replica.at("fault").get<std::string>()));
    }
  }
  const bool one_seed_each = std::all_of(
      runs.begin(), runs.end(), [](const TrainedRun& run) { return run.summary.at("replicas").size() == 1; });
  if (runs.size() > 1 && one_seed_each) {
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
  std::vector<Estimate> means;  // that the headlines give
  for (const TrainedRun& run : runs) {
    const Json& replicas = run.summary.at("replicas");
    if (replicas.size() > 1) means.push_back(test_accuracy(run));
    for (std::size_t r = 0; r < replicas.size(); ++r) {
      const Json& replica = replicas[r];
      const std::string name = network_name(run, r);
      results.push_back({name, std::to_string(replica.at("seed").get<std::uint64_t>()),
                         accuracy_percent(replica.at("train")), accuracy_percent(replica.at("validation")),
                         accuracy_percent(replica.at("test")), loss(replica.at("train")),
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
      "Results", kept_parameters(runs),
      {text_column("run"), number_column("seed"), number_column("train %"), number_column("validation %"),
       number_column("test %"), number_column("train loss"), number_column("validation loss"),
       number_column("test loss"), number_column("best step"), text_column("stopped")},
      results));
  const Axis steps{"step", false};
  blocks.push_back(lines_block("train-loss", "Training loss",
                               fmt::format("Of every {}th batch{}.", steps_per_record,
                                           thins_out(runs, "train") ? ", neighbours averaged" : ""),
                               steps, {"training loss", true}, "run", train));
  blocks.push_back(lines_block("validation-loss", "Validation loss",
                               "Where it rises while the training loss falls, the network overfits.", steps,
                               {"validation loss", true}, "run", validation));
  blocks.push_back(lines_block("validation-accuracy", "Validation accuracy",
                               "The accuracy on images that are not trained on.", steps, {"accuracy", false},
                               "run", accuracy));
  Json sections = Json::array();
  add_section(sections, section("results", "Results", interval_method(means), blocks));
  add_section(sections, section("settings", "Settings", {}, Json::array({settings_table_of(runs)})));
  return sections;
}

Json run_facts(const std::vector<TrainedRun>& runs) {
  Json facts = Json::array();
  for (const TrainedRun& run : runs) {
    const Json& summary = run.summary;
    facts.push_back({run.name + ": time",
                     fmt::format("{:.1f} s, {:.1f} µs a step, {}", summary.at("seconds").get<double>(),
                                 summary.at("microseconds_per_step").get<double>(),
                                 counted(summary.at("threads").get<int>(), "thread"))});
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
