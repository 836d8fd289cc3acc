// `handgrad report`: one HTML page about runs and sweeps.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <tuple>

#include "commands/commands.h"
#include "commands/output_file.h"
#include "export/web_page.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/file.h"
#include "handgrad/platform/system.h"
#include "report/report_model.h"
#include "report/report_page.h"
#include "report/report_run.h"
#include "report/report_sweep.h"
#include "report/sweep_view.h"
#include "run/run_directory.h"
#include "run/saved_model.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

// A model, and what it is called.
struct ModelToShow {
  std::string name;
  TorchScriptModel model;
};

// Opens a model, unless there is none or training left the finite numbers before there was a good one.
void add_model(std::vector<ModelToShow>& models, const std::string& name, const fs::path& file) {
  if (!fs::exists(file)) return;
  TorchScriptModel model(file);
  const std::vector<Tensor> weights = model.weights();
  const bool finite = std::all_of(weights.begin(), weights.end(),
                                  [](const Tensor& w) { return at::isfinite(w).all().item<bool>(); });
  if (finite) models.push_back({name, std::move(model)});
}

std::vector<NamedModel> named(const std::vector<ModelToShow>& models) {
  std::vector<NamedModel> list;
  for (const ModelToShow& m : models) list.emplace_back(m.name, &m.model);
  return list;
}

Json weights_section(const std::vector<ModelToShow>& models, const std::vector<std::string>& text) {
  return section("weights", "Weights", text, weight_blocks(named(models), models.front().model.shape()));
}

// Where the model is right and wrong on the test images.
Json mistakes_section(const ModelToShow& model, const std::vector<std::string>& text, const ReportData& data,
                      const SplitOptions& split_options) {
  if (!data.dataset) {
    return section("mistakes-section", "Right and wrong",
                   {"Left out, because the data cannot be read: " + data.missing + "."}, Json::array());
  }
  SplitOptions as_in_files = split_options;
  as_in_files.deskew = false;  // which the model does itself
  const Splits splits = split(*data.dataset, as_in_files, at::kFloat);
  const SplitIndices indices =
      split_indices(data.dataset->train_count(), data.dataset->test_count(), split_options);
  return section("right-and-wrong", fmt::format("Right and wrong: {}", model.name), text,
                 evaluation_blocks({model.name, &model.model}, *data.dataset, splits.test, indices.test));
}

fs::path model_of(const Sweep& sweep, const std::string& configuration) {
  return sweep.path / "models" / (file_name_of(configuration) + ".pt");
}

// The experiments' models of the first seed, the best by validation accuracy first.
std::vector<ModelToShow> models_of(const SweepResults& sweep) {
  const SweepTable& table = sweep.table;
  std::vector<std::pair<double, std::string>> names;
  for (const Json* c : of_group(sweep, "experiment")) {
    const std::string name = text_of(*c, "name");
    const double accuracy = table.estimate(name, measure("validation_accuracy")).mean;
    names.emplace_back(std::isfinite(accuracy) ? -accuracy : 1, name);
  }
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<ModelToShow> models;
  for (const auto& [order, name] : names) add_model(models, name, model_of(sweep, name));
  return models;
}

// The weights of the two experiments that the sweep's file names; null where it names none, or a model is
// missing.
Json compared_weights_section(const Sweep& sweep, const std::string& whose) {
  std::vector<ModelToShow> models;
  for (const auto& name : sweep.plan.value("compared_weights", std::vector<std::string>())) {
    add_model(models, name, model_of(sweep, name));
  }
  if (models.size() < 2) return {};
  const std::vector<NamedModel> both = named(models);
  return section(
      "differences", fmt::format("Weights: {} minus {}", both[0].first, both[1].first),
      {whose, differing_settings(configuration(sweep, both[0].first), configuration(sweep, both[1].first))},
      weight_difference_blocks(both[0], both[1], models.front().model.shape()));
}

// Of the networks of the first seed.
void add_model_sections(Json& sections, const SweepResults& sweep) {
  const std::vector<ModelToShow> models = models_of(sweep);
  if (models.empty()) return;
  const Json& plan = sweep.plan;
  const auto seed = plan.at("seeds").at(0).get<std::uint64_t>();
  const ModelToShow& best = models.front();
  Settings trained =
      settings_of(configuration(sweep, best.name).at("config"), (sweep.path / "sweep.json").string());
  trained.seed = seed;
  trained.data_seed = seed;
  trained.pass_on();
  const ReportData data = load_report_data(data_request_of(plan, (sweep.path / "sweep.json").string()),
                                           text_of(plan, "data_sha256"));
  const std::string whose = fmt::format("Seed {}, {}.", seed, rules(sweep));
  add_section(sections, weights_section(models, {whose}));
  add_section(sections, compared_weights_section(sweep, whose));
  add_section(sections, mistakes_section(best, {whose}, data, trained.split));
}

Json sweep_document(std::vector<SweepResults> sweeps) {
  make_rules_distinct(sweeps);
  Json sections = sweep_sections(sweeps);
  add_model_sections(sections, sweeps.front());
  std::string subtitle;
  for (const Sweep& sweep : sweeps) {
    subtitle += fmt::format("{}{}: {} in {}", subtitle.empty() ? "" : " · ", rules(sweep),
                            counted(sweep.rows.size(), "run"), duration_text(sweep));
  }
  return {{"title", sweeps.front().plan.at("title")},
          {"subtitle", subtitle},
          {"headlines", sweep_headlines(sweeps)},
          {"sections", sections},
          {"facts", sweep_facts(sweeps)}};
}

Settings settings_of(const TrainedRun& run) {
  return settings_of_run(run.config, (run.path / "config.json").string());
}

// The data sets of runs, each read once.
class DataOfRuns {
 public:
  const ReportData& of(const TrainedRun& run) {
    const DataRequest request = settings_of(run).data_request();
    const ImageShape size = request.image_size.value_or(ImageShape());
    const std::string sha256 = text_of(run.summary, "data_sha256");
    const Source source{
        request.source, request.classes, size.rows, size.columns, request.test_fraction.value_or(0), sha256};
    auto known = known_.find(source);
    if (known == known_.end()) known = known_.emplace(source, load_report_data(request, sha256)).first;
    return known->second;
  }

 private:
  using Source = std::tuple<std::string, std::int64_t, std::int64_t, std::int64_t, double, std::string>;
  std::map<Source, ReportData> known_;
};

// Of the runs that were trained with augmentation.
Json augmentation_section(const std::vector<TrainedRun>& runs, DataOfRuns& data) {
  std::vector<std::string> text;
  Json tiles = Json::array();
  for (const TrainedRun& run : runs) {
    const Settings settings = settings_of(run);
    if (!settings.training.augment.options().any()) continue;
    const ReportData& of_run = data.of(run);
    if (of_run.dataset) {
      const Splits splits = split(*of_run.dataset, settings.split, at::kFloat);
      tiles.push_back(augmented_tile(run.name, splits.train, settings.training));
    } else {
      text.push_back(
          fmt::format("{}: left out, because the data cannot be read: {}.", run.name, of_run.missing));
    }
  }
  return section("augmentation", "Augmentation", text, Json::array({augmented_block(tiles)}));
}

// Of each run's first network.
void add_model_sections(Json& sections, const std::vector<TrainedRun>& runs, DataOfRuns& data) {
  std::vector<ModelToShow> models;
  std::vector<const TrainedRun*> shown;
  for (const TrainedRun& run : runs) {
    add_model(models, network_name(run, 0), run.path / model_file_name(0));
    if (models.size() > shown.size()) shown.push_back(&run);
  }
  if (shown.empty()) return;
  const TrainedRun& first = *shown.front();
  add_section(sections, weights_section(models, {}));
  add_section(sections, mistakes_section(models.front(), {}, data.of(first), settings_of(first).split));
}

// To the pages that `export --format html` put into the runs' directories.
Json links_to_pages(const std::vector<TrainedRun>& runs, const fs::path& from) {
  Json links = Json::array();
  for (const TrainedRun& run : runs) {
    const fs::path page = run.path / drawing_page_name;
    std::error_code error;
    if (!fs::is_regular_file(page, error)) continue;
    links.push_back({{"text", fmt::format("Draw, and see what the network of {} makes of it", run.name)},
                     {"path", fs::proximate(page, from, error).generic_string()}});
  }
  return links;
}

// from: the directory that the report will be in.
Json run_document(std::vector<TrainedRun> runs, const fs::path& from) {
  make_names_distinct(runs);
  Json sections = run_sections(runs);
  DataOfRuns data;
  add_section(sections, augmentation_section(runs, data));
  add_model_sections(sections, runs, data);
  return {{"title", runs.size() == 1 ? "Training run " + runs.front().name
                                     : fmt::format("{} training runs", runs.size())},
          {"subtitle", architectures(runs)},
          {"headlines", run_headlines(runs)},
          {"links", links_to_pages(runs, from)},
          {"sections", sections},
          {"facts", run_facts(runs)}};
}

Json document(const std::vector<std::string>& directories, const fs::path& from) {
  std::vector<SweepResults> sweeps;
  std::vector<TrainedRun> runs;
  for (const std::string& directory : directories) {
    if (!fs::is_directory(directory)) throw FileError(fmt::format("{}: is not a directory", directory));
    if (is_sweep(directory)) {
      sweeps.emplace_back(read_sweep(directory));
      if (sweeps.back().rows.empty()) throw ModelError(fmt::format("{}: has no finished run yet", directory));
    } else {
      runs.push_back(read_run(directory));
    }
  }
  if (!sweeps.empty() && !runs.empty()) {
    throw UsageError("report takes runs or sweeps, not both; make a page of each");
  }
  try {
    return sweeps.empty() ? run_document(std::move(runs), from) : sweep_document(std::move(sweeps));
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
  const std::string page = report_page(to_text(document(directories, fs::absolute(out).parent_path()), -1));
  write_file(out, page);
  fmt::print("saved: {} ({:.1f} MB)\n", printable(out.string()), static_cast<double>(page.size()) / 1e6);
  return 0;
}

}  // namespace handgrad::app
