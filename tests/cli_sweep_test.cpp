// `handgrad sweep` and `handgrad report` as their users meet them.
#include <nlohmann/json.hpp>

#include "program.h"
#include "small_files.h"

using Json = nlohmann::json;

namespace {

constexpr const char* small_sweep = R"(
title = "small"
seeds = 3
[fixed]
hidden = "5"
batch_size = 4
validation_fraction = 0.5
learning_rate = 0.1
[grid]
epochs = [2, 3]
l2 = [0.0, 0.5]
[[experiment]]
name = "plain"
epochs = 3
l2 = 0
[[experiment]]
name = "normalised"
epochs = 3
l2 = 0
batch_norm = true
[published.plain]
test_accuracy = 99.5
[reference]
plain = [10, 90.5]
[convergence]
loss = 1.0
[[claim]]
text = "Batch norm helps"
measure = "test_accuracy"
contrast = {normalised = 1, plain = -1}
)";

void write_sweep(const TemporaryDirectory& directory, const std::string& text) {
  fs::create_directory(directory / "data");
  write_small_dataset(directory / "data");
  write_text(directory / "sweep.toml", text);
}

// "0,1,2,…": so many numbers.
std::string listed(int count) {
  std::string text = "0";
  for (int i = 1; i < count; ++i) text += "," + std::to_string(i);
  return text;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

// The rows of results.jsonl without what depends on the clock.
std::vector<Json> rows_of(const fs::path& sweep) {
  std::istringstream lines(contents(sweep / "results.jsonl"));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) {
    rows.push_back(Json::parse(line));
    rows.back().erase("seconds");
  }
  return rows;
}

}  // namespace

TEST_CASE("a sweep trains every configuration with every seed, and tests its claims") {
  const TemporaryDirectory directory;
  write_sweep(directory, small_sweep);
  const Outcome outcome = run(directory, "sweep sweep.toml --data data --out s");
  CAPTURE(outcome.error);
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Catch::Contains("6 configurations × 3 seeds = 18 runs"));
  CHECK_THAT(outcome.out, Catch::Contains("Batch norm helps: ") && Catch::Contains("at 3 seeds"));
  const std::vector<Json> rows = rows_of(directory / "s");
  REQUIRE(rows.size() == 18);
  CHECK(rows[0]["configuration"] == "2 epochs, λ 0");
  CHECK(rows[0]["seed"] == 1);
  CHECK(rows[2]["seed"] == 3);
  CHECK(rows[0]["steps"] == 4);
  CHECK(rows[6]["configuration"] == "3 epochs, λ 0");
  // The experiment `plain` is that point of the grid.
  for (const char* key : {"test_loss", "train_loss", "validation_loss", "best_step"}) {
    CHECK(rows[6][key] == rows[12][key]);
    CHECK(rows[12][key].is_number());
  }
  CHECK(rows[12]["test_loss"] != rows[13]["test_loss"]);  // another seed
  const std::string csv = contents(directory / "s" / "results.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 19);
  CHECK_THAT(csv, Catch::Contains("\"2 epochs, λ 0\",grid,1,max_epochs,"));
  CHECK(fs::exists(directory / "s" / "models" / "normalised.pt"));

  SECTION("and does again what is missing, to the same bits, whatever the number of cores") {
    fs::remove(directory / "s" / "jobs" / "seed-2-ensemble-0.json");
    fs::remove(directory / "s" / "jobs" / "seed-3-ensemble-1.json");
    fs::remove(directory / "s" / "results.jsonl");
    const Outcome again = run(directory, "sweep sweep.toml --data data --out s --threads 1");
    CHECK_THAT(again.out, Catch::Contains("2 still to do, on 1 core"));
    CHECK(rows_of(directory / "s") == rows);
  }
  SECTION("or with several seeds side by side, to the same results but for rounding") {
    const std::string together = "sweep sweep.toml --data data --out t --seeds-together 2";
    const Outcome first = run(directory, together);
    CHECK_THAT(first.out, Catch::Contains("18 runs, in 4 trainings, 4 still to do"));
    const std::vector<Json> same = rows_of(directory / "t");
    REQUIRE(same.size() == rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CAPTURE(i);
      for (const char* key : {"configuration", "seed", "steps", "best_step", "test_accuracy"}) {
        CHECK(same[i][key] == rows[i][key]);
      }
      for (const char* key : {"test_loss", "train_loss", "validation_loss", "l2_penalty"}) {
        CHECK(same[i][key].get<double>() == Approx(rows[i][key].get<double>()).epsilon(1e-4));
      }
    }
    CHECK(fs::exists(directory / "t" / "models" / "normalised.pt"));
    // One of two that trained together is missing: both train again, together.
    fs::remove(directory / "t" / "jobs" / "seed-2-ensemble-0.json");
    CHECK_THAT(run(directory, together).out, Catch::Contains("4 trainings, 1 still to do"));
    CHECK(rows_of(directory / "t") == same);
    CHECK_THAT(run(directory, "sweep sweep.toml --data data --dry-run --seeds-together 3").out,
               Catch::Contains("  3 seeds × 2 × 12-5-3, batch 4"));
  }
  SECTION("and goes on with more seeds") {
    const Outcome more = run(directory, "sweep sweep.toml --data data --out s --seeds 4");
    CHECK_THAT(more.out, Catch::Contains("2 still to do"));
    CHECK(rows_of(directory / "s").size() == 24);
  }
  SECTION("but not with other settings") {
    check_refused(run(directory, "sweep sweep.toml --data data --out s --learning-rate 0.2"), 1,
                  "differs in its configurations");
  }
  SECTION("and a damaged file is named") {
    write_text(directory / "s" / "jobs" / "seed-2-ensemble-0.json", "{");
    const Outcome damaged = run(directory, "sweep sweep.toml --data data --out s");
    CHECK(damaged.exit_code == 1);
    CHECK_THAT(damaged.error, Catch::Contains("seed-2-ensemble-0.json") && Catch::Contains("remove it"));
  }
}

TEST_CASE("a sweep that is interrupted goes on to the same bits") {
  const TemporaryDirectory directory;
  const std::string longer =
      replaced(small_sweep, "epochs = [2, 3]", "epochs = [3000, 6000]\npatience = [1000000]");
  write_sweep(directory, longer);
  const Outcome whole = run(directory, "sweep sweep.toml --data data --out whole");
  REQUIRE(whole.exit_code == 0);
  const auto jobs_in = [](const fs::path& sweep) {
    std::size_t jobs = 0;
    for (const auto& entry : fs::directory_iterator(sweep / "jobs")) {
      jobs += entry.path().extension() == ".json" ? 1 : 0;
    }
    return jobs;
  };
  const std::size_t all = jobs_in(directory / "whole");
  // Ends it as soon as a training more than `jobs` is done.
  const auto end_early = [&](const char* signal, std::size_t jobs) {
    const std::string command =
        std::string("'") + HANDGRAD_PROGRAM +
        "' sweep sweep.toml --data data --out parts >/dev/null 2>&1 & id=$!; until [ \"$(ls parts/jobs "
        "2>/dev/null | grep -c '^seed')\" -gt " +
        std::to_string(jobs) + " ]; do sleep 0.02; done; kill -" + signal + " $id; wait $id; ";
    run(directory, "--version", command);
    return jobs_in(directory / "parts");
  };
  const std::size_t after_kill = end_early("KILL", 0);
  CHECK(after_kill < all);
  const std::size_t after_interrupt = end_early("INT", after_kill);
  CHECK(after_interrupt > after_kill);
  CHECK(after_interrupt < all);
  const Outcome rest = run(directory, "sweep sweep.toml --data data --out parts");
  CAPTURE(rest.error);
  CHECK(rest.exit_code == 0);
  CHECK(rows_of(directory / "parts") == rows_of(directory / "whole"));
}

TEST_CASE("a run that leaves the finite numbers is a marked row and a sentence, not a lost sweep") {
  const TemporaryDirectory directory;
  write_sweep(directory, replaced(small_sweep, "name = \"plain\"\nepochs = 3",
                                  "name = \"plain\"\nepochs = 3\nlearning_rate = 1e30"));
  const Outcome outcome = run(directory, "sweep sweep.toml --data data --out s");
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Catch::Contains("plain, seed 2: left out of all means, because at step ") &&
                              Catch::Contains("no longer finite") && Catch::Contains("too few"));
  const std::vector<Json> rows = rows_of(directory / "s");
  REQUIRE(rows.size() == 18);
  CHECK(rows[12]["stopped"] == "non_finite");
  CHECK(rows[12]["test_loss"].is_null());
  CHECK(rows[0]["stopped"] == "max_epochs");
  CHECK(rows[15]["test_loss"].is_number());
  CHECK_FALSE(fs::exists(directory / "s" / "models" / "plain.pt"));
  const Outcome report = run(directory, "report s");
  CAPTURE(report.error);
  if (report.exit_code != 0) {
    CHECK_THAT(report.error, Catch::Contains("this build makes no reports"));
    WARN("skipped: the page of a report, because this build makes none");
  } else {
    CHECK_THAT(contents(directory / "s" / "report.html"),
               Catch::Contains("plain, seed 2: left out of all means"));
  }
}

TEST_CASE("early stopping can be off in a sweep, and an axis of it") {
  const TemporaryDirectory directory;
  write_sweep(directory, replaced(small_sweep, "epochs = [2, 3]",
                                  "epochs = [9]\nmin_delta = [100]\npatience = [\"none\", 2]"));
  const Outcome outcome = run(directory, "sweep sweep.toml --data data --out s --seeds 1");
  CAPTURE(outcome.error);
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Catch::Contains("6 configurations × 1 seed = 6 runs"));
  const std::vector<Json> rows = rows_of(directory / "s");
  REQUIRE(rows.size() == 6);
  CHECK(rows[0]["configuration"] == "9 epochs, min_delta 100, patience none, λ 0");
  CHECK(rows[0]["epochs"] == 9);
  CHECK(rows[2]["configuration"] == "9 epochs, min_delta 100, patience 2, λ 0");
  CHECK(rows[2]["epochs"] == 3);
}

TEST_CASE("flags win over a sweep's file, and --dry-run trains nothing") {
  const TemporaryDirectory directory;
  write_sweep(directory, small_sweep);
  const Outcome dry = run(directory, "sweep sweep.toml --data data --epochs 1 --seeds 2 --dry-run");
  CAPTURE(dry.error);
  CHECK(dry.exit_code == 0);
  CHECK_THAT(dry.out, Catch::Contains("4 configurations × 2 seeds = 8 runs, in 2 ensembles a seed") &&
                          Catch::Contains(" s on ") && !Catch::Contains("minutes") && Catch::Contains("MB"));
  // Each ensemble says which configurations it is.
  CHECK_THAT(dry.out, Catch::Contains("2 × 12-5-3, batch 4, 1 epoch: 3 configurations, 2 steps of ") &&
                          Catch::Contains("\n    1 epochs, λ 0; 1 epochs, λ 0.5; plain\n") &&
                          Catch::Contains("\n    normalised\n"));
  CHECK_FALSE(fs::exists(directory / "runs"));
}

TEST_CASE("a base lends a sweep what it does not say itself, and variants cross the experiments") {
  const TemporaryDirectory directory;
  write_sweep(directory, small_sweep);
  write_text(directory / "variants.toml",
             "base = \"sweep.toml\"\nseeds = 1\nclaim = []\n[grid]\n[fixed]\nlearning_rate = 0.2\n"
             "[variants]\ncompat = [\"none\", \"bn-no-backward\", \"no-shuffle\"]\n");
  const Outcome outcome = run(directory, "sweep variants.toml --data data --out s");
  CAPTURE(outcome.error);
  REQUIRE(outcome.exit_code == 0);
  const Json plan = Json::parse(contents(directory / "s" / "sweep.json"));
  std::vector<std::string> names;
  for (const Json& c : plan["configurations"]) {
    names.push_back(c["name"]);
    CHECK(c["config"]["learning_rate"] == 0.2);
    CHECK(c["config"]["hidden"] == "5");
  }
  CHECK(names == std::vector<std::string>{"plain", "plain, no-shuffle", "normalised",
                                          "normalised, bn-no-backward", "normalised, no-shuffle"});
  CHECK(plan["configurations"][3]["config"]["compat"] == "bn-no-backward");
}

TEST_CASE("what is wrong in a sweep's file is named with its place") {
  const auto [from, to, part] = GENERATE(table<std::string, std::string, std::string>({
      {"title = \"small\"", "title = small", "sweep.toml: line 2: "},
      {"seeds = 3", "seed = 3", "the file has the key seed; must be one of title"},
      {"hidden = \"5\"", "hiden = \"5\"", "has the key hiden, which is no setting"},
      {"hidden = \"5\"", "seed = 7", "has the key seed, which is no setting"},
      {"batch_size = 4", "batch_size = 0", "2 epochs, λ 0: --batch-size: got 0"},
      {"batch_size = 4", "batch_size = 1\nbatch_norm = true", "2 epochs, λ 0: --batch-size: got 1; must be"},
      {"batch_size = 4", "batch_size = 40", "--batch-size: got 40, but the training set has only 6 images"},
      {"batch_size = 4", "batch_size = [4]", "[fixed]: batch_size: must be a number"},
      {"epochs = [2, 3]", "epochs = 2", "[grid]: epochs: must be a list"},
      {"epochs = [2, 3]", "epochs = []", "[grid]: epochs: must be a list"},
      {"epochs = [2, 3]", "epochs = [2, 2]", "two configurations are called 2 epochs, λ 0 and"},
      {"name = \"plain\"", "nam = \"plain\"", "name is missing"},
      {"name = \"normalised\"", "name = \"plain\"", "two configurations are called plain and plain"},
      {"measure = \"test_accuracy\"", "measure = \"accuracy\"",
       "there is no measure accuracy; must be one of"},
      {"plain = -1", "plane = -1", "there is no configuration plane; the names are"},
      {"[published.plain]", "[published.plane]", "there is no configuration plane"},
      {"loss = 1.0", "loss = \"low\"", "[convergence]: loss is missing, or not a number"},
      {"title = \"small\"", "title = 5", "the file: title is missing, or not text"},
      {"seeds = 3", "seeds = -5", "seeds: must be a whole number from 1 to"},
      {"seeds = 3", "seeds = 2.5", "seeds: must be a whole number from 1 to"},
      {"plain = [10, 90.5]", "plain = 10", "[reference] plain: must be a list"},
      {"plain = [10, 90.5]", "plain = [\"ten\"]", "[reference] plain: must be a number"},
      {"contrast = {normalised = 1, plain = -1}", "", "contrast is missing"},
      {"name = \"normalised\"", "name = \"3 epochs; λ 0\"",
       "two configurations are called 3 epochs, λ 0 and 3 epochs; λ 0"},
      {"title = \"small\"", "base = \"sweep.toml\"", "each other's base"},
      {"title = \"small\"", "base = \"other.toml\"", "other.toml"},
      {"[grid]", "[[[grid]]]", "sweep.toml: line 9: "},
      {"l2 = [0.0, 0.5]", "l2 = [" + listed(5001) + "]", "[grid]: has more than 10000 combinations"},
      {"[published.plain]", "[variants]\nl2 = [" + listed(4999) + "]\n[published.plain]",
       "has more than 10000 configurations"},
  }));
  const TemporaryDirectory directory;
  write_sweep(directory, replaced(small_sweep, from, to));
  CAPTURE(from, to);
  const Outcome outcome = run(directory, "sweep sweep.toml --data data --out s");
  CHECK(outcome.exit_code != 0);
  check_refused(outcome, outcome.exit_code, part);
  CHECK_FALSE(fs::exists(directory / "s"));
}

TEST_CASE("wrong arguments of sweep and report") {
  const TemporaryDirectory directory;
  write_sweep(directory, small_sweep);
  check_refused(run(directory, "sweep"), 2, "one TOML file, got 0");
  check_refused(run(directory, "sweep sweep.toml --seed 3"), 2, "seed");
  check_refused(run(directory, "sweep sweep.toml --data data --seeds 0"), 2, "--seeds: got 0");
  check_refused(run(directory, "sweep sweep.toml --data data --seeds-together many"), 2,
                "--seeds-together: got many; must be auto, or a whole number from 1");
  check_refused(run(directory, "sweep nothing.toml --data data"), 1, "nothing.toml");
  check_refused(run(directory, "sweep sweep.toml --data data --out data"), 1, "no sweep");
  check_refused(run(directory, "report"), 2, "got none");
  check_refused(run(directory, "report nowhere"), 1, "nowhere: is not a directory");
  check_refused(run(directory, "report data"), 1, "neither a run nor a sweep");
}
