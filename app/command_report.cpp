// `handgrad report`: one HTML page about runs and sweeps.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "commands.h"
#include "errors.h"
#include "file.h"
#include "output_file.h"
#include "report_model.h"
#include "report_page.h"
#include "report_run.h"
#include "report_sweep.h"
#include "saved_model.h"
#include "system.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

void append(Json& list, const Json& more) {
  for (const Json& entry : more) list.push_back(entry);
}

// A model, and what it needs to be looked at.
struct ModelToShow {
  std::string name;
  TorchScriptModel model;
};

// Opens a model, unless training left the finite numbers before there was a good one.
void add_model(std::vector<ModelToShow>& models, const std::string& name, const fs::path& file) {
  if (!fs::exists(file)) return;
  TorchScriptModel model(file);
  const std::vector<Tensor> weights = model.weights();
  const bool finite = std::all_of(weights.begin(), weights.end(),
                                  [](const Tensor& w) { return at::isfinite(w).all().item<bool>(); });
  if (finite) models.push_back({name, std::move(model)});
}

// Weights, and where the first model is right and wrong on the test images.
Json model_sections(const std::vector<ModelToShow>& models, const ReportData& data,
                    const SplitOptions& split_options) {
  Json sections = Json::array();
  if (models.empty()) return sections;
  std::vector<NamedModel> named;
  for (const ModelToShow& m : models) named.emplace_back(m.name, &m.model);
  const ImageShape shape = models.front().model.shape();
  sections.push_back(section("weights", "Weights", {}, weight_blocks(named, shape)));
  const auto with_name = [&](const char* name) {
    return std::find_if(named.begin(), named.end(), [&](const NamedModel& m) { return m.first == name; });
  };
  const auto first = with_name("experiment 1");
  const auto third = with_name("experiment 3");
  if (first != named.end() && third != named.end()) {
    sections.push_back(section("differences", "What L2 did to the weights", {},
                               weight_difference_blocks(*first, *third, shape)));
  }
  if (!data.dataset) {
    sections.push_back(section("mistakes-section", "Right and wrong",
                               {"Left out, because the data cannot be read: " + data.missing + "."},
                               Json::array()));
    return sections;
  }
  const Splits splits = split(*data.dataset, split_options, at::kFloat);
  const SplitIndices indices =
      split_indices(data.dataset->train_count(), data.dataset->test_count(), split_options);
  sections.push_back(section("right-and-wrong", fmt::format("Right and wrong: {}", named.front().first), {},
                             evaluation_blocks(named.front(), *data.dataset, splits.test, indices.test)));
  return sections;
}

// The experiments' models of the first seed, the best by validation accuracy first.
std::vector<ModelToShow> models_of(const Sweep& sweep) {
  const SweepTable table(sweep);
  const Measure& validation = find_measure("validation_accuracy", "report");
  std::vector<std::pair<double, std::string>> names;
  for (const Json& c : sweep.plan.at("configurations")) {
    const auto name = c.at("name").get<std::string>();
    if (c.at("group") != "experiment" || name != c.at("experiment")) continue;
    const double accuracy = table.estimate(name, validation).mean;
    if (std::isfinite(accuracy)) names.emplace_back(-accuracy, name);
  }
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<ModelToShow> models;
  for (const auto& [order, name] : names) {
    const fs::path file = sweep.path / "models" / (file_name_of(name) + ".pt");
    add_model(models, name, file);
  }
  return models;
}

SplitOptions split_of(const Json& config, std::uint64_t seed) {
  SplitOptions options;
  options.kind = config.at("split") == "pooled" ? SplitOptions::Kind::pooled : SplitOptions::Kind::official;
  options.validation_fraction = config.at("validation_fraction").get<double>();
  options.seed = seed;
  return options;
}

Json sweep_document(const std::vector<Sweep>& sweeps) {
  const Json& plan = sweeps.front().plan;
  Json sections = sweep_sections(sweeps);
  const ReportData data =
      load_report_data(plan.at("data").get<std::string>(), plan.at("classes").get<std::int64_t>(),
                       plan.at("data_sha256").get<std::string>());
  append(sections, model_sections(models_of(sweeps.front()), data,
                                  split_of(plan.at("configurations").at(0).at("config"),
                                           plan.at("seeds").at(0).get<std::uint64_t>())));
  std::string subtitle;
  for (const Sweep& sweep : sweeps) {
    subtitle += fmt::format("{}{}: {} runs in {:.1f} minutes", subtitle.empty() ? "" : " · ",
                            sweep.plan.at("rules").get<std::string>(), sweep.rows.size(),
                            sweep.plan.at("seconds").get<double>() / 60);
  }
  return {{"title", plan.at("title")},
          {"subtitle", subtitle},
          {"headlines", sweep_headlines(sweeps)},
          {"sections", sections},
          {"facts", sweep_facts(sweeps)}};
}

Json run_document(const std::vector<TrainedRun>& runs) {
  Json sections = run_sections(runs);
  std::vector<ModelToShow> models;
  for (const TrainedRun& run : runs) {
    const fs::path file = run.path / model_file_name(0);
    add_model(models, run.name, file);
  }
  const TrainedRun& first = runs.front();
  const ReportData data = load_report_data(first.config.at("data").get<std::string>(),
                                           first.config.at("classes").get<std::int64_t>(),
                                           first.summary.at("data_sha256").get<std::string>());
  append(sections,
         model_sections(models, data,
                        data_settings_of_run(first.config, (first.path / "config.json").string()).split));
  return {{"title",
           runs.size() == 1 ? "Training run " + first.name : fmt::format("{} training runs", runs.size())},
          {"subtitle", first.summary.at("architecture")},
          {"headlines", run_headlines(runs)},
          {"sections", sections},
          {"facts", run_facts(runs)}};
}

Json document(const std::vector<std::string>& directories) {
  std::vector<Sweep> sweeps;
  std::vector<TrainedRun> runs;
  for (const std::string& directory : directories) {
    if (!fs::is_directory(directory)) throw FileError(fmt::format("{}: is not a directory", directory));
    if (is_sweep(directory)) {
      sweeps.push_back(read_sweep(directory));
      if (sweeps.back().rows.empty()) throw ModelError(fmt::format("{}: has no finished run yet", directory));
    } else {
      runs.push_back(read_run(directory));
    }
  }
  if (!sweeps.empty() && !runs.empty()) {
    throw UsageError("report takes runs or sweeps, not both; make a page of each");
  }
  try {
    return sweeps.empty() ? run_document(runs) : sweep_document(sweeps);
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(fmt::format("{}: a file is not what this version writes ({}); train again",
                                 directories.front(), error.what()));
  }
}

}  // namespace

int report_command(const Arguments& arguments) {
  Options options("report", "writes one HTML page about runs, or about sweeps", "DIR…");
  options.value("out", "", "FILE", "the page [report.html in the first directory]");
  add_force_flag(options);
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (options.positional().empty()) throw UsageError("report takes directories of runs or sweeps, got none");
  const std::vector<std::string>& directories = options.positional();
  const fs::path out = options.text("out").empty() ? fs::path(directories.front()) / "report.html"
                                                   : fs::path(options.text("out"));
  if (!is_report(out)) require_replaceable(out, "out", options);
  const std::string page = report_page(to_text(document(directories), -1));
  write_file(out, page);
  fmt::print("saved: {} ({:.1f} MB)\n", printable(out.string()), static_cast<double>(page.size()) / 1e6);
  return 0;
}

}  // namespace handgrad::app
