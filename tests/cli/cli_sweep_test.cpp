// `handgrad sweep` and `handgrad report` as their users meet them.
#include <iomanip>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/program.h"
#include "data/small_files.h"

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

// Without its keys [grid], [published.…], [reference], [convergence] and [[claim]].
std::string only_experiments() {
  std::string text = replaced(small_sweep, "[grid]\nepochs = [2, 3]\nl2 = [0.0, 0.5]\n", "");
  return text.substr(0, text.find("[published.plain]"));
}

// What the page of `handgrad report ARGUMENTS` holds; null where this build makes no reports.
Json report_of(const TemporaryDirectory& directory, const std::string& arguments) {
  const Outcome outcome = run(directory, "report " + arguments + " --out page.html");
  CAPTURE(outcome.error);
  if (outcome.error.find("reports are off") != std::string::npos) return {};
  REQUIRE(outcome.exit_code == 0);
  const std::string page = contents(directory / "page.html");
  const std::string mark = "id=\"report-data\">";
  const std::size_t begin = page.find(mark) + mark.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

std::vector<Json> blocks_of(const Json& report) {
  std::vector<Json> blocks;
  for (const Json& section : report["sections"]) {
    blocks.insert(blocks.end(), section["blocks"].begin(), section["blocks"].end());
  }
  return blocks;
}

Json block_of(const Json& report, const std::string& title) {
  for (const Json& block : blocks_of(report)) {
    if (block["title"] == title) return block;
  }
  return {};
}

std::string text_of(const Json& cell) {
  return cell.is_object() ? cell["text"].get<std::string>() : cell.get<std::string>();
}

// Of a table, by the title of the column and the text of the row's first cell.
std::string cell_of(const Json& table, const std::string& row, const std::string& column) {
  for (const Json& cells : table["rows"]) {
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (cells[0] == row && table["columns"][c]["title"] == column) return text_of(cells[c]);
    }
  }
  return "none";
}

// All its sentences.
std::string sentences_of(const Json& report) {
  std::string text;
  for (const Json& sentence : report["headlines"]) text += sentence.get<std::string>() + "\n";
  for (const Json& section : report["sections"]) {
    text += section["title"].get<std::string>() + "\n";
    for (const Json& sentence : section["text"]) text += sentence.get<std::string>() + "\n";
    for (const Json& block : section["blocks"]) text += block["see"].get<std::string>() + "\n";
  }
  return text;
}

// What must hold of every report.
void check_sound(const Json& report) {
  for (const Json& section : report["sections"]) {
    CAPTURE(section["title"]);
    CHECK((!section["text"].empty() || !section["blocks"].empty()));
  }
  for (const Json& block : blocks_of(report)) {
    CAPTURE(block["title"]);
    CHECK_FALSE(block[block["type"] == "images" ? "tiles" : "rows"].empty());
    for (std::size_t c = 0; block["type"] == "table" && c < block["columns"].size(); ++c) {
      CAPTURE(block["columns"][c]["title"]);
      CHECK(std::any_of(block["rows"].begin(), block["rows"].end(),
                        [&](const Json& row) { return !text_of(row[c]).empty() && text_of(row[c]) != "–"; }));
    }
    if (block["type"] != "intervals") continue;
    const bool of_share = block["x"]["title"].get<std::string>().find("accuracy %") != std::string::npos;
    const double least = block["zero"] == true ? -100 : 0;  // of a difference, or of a share itself
    bool whiskers = false;
    for (const Json& row : block["rows"]) {
      whiskers = whiskers || row.contains("low");
      if (!row.contains("low") || !of_share) continue;
      CHECK(row["low"] >= least);
      CHECK(row["low"] <= row["mean"]);
      CHECK(row["high"] >= row["mean"]);
      CHECK(row["high"] <= 100);
    }
    CHECK_THAT(block["see"].get<std::string>(),
               Catch::EndsWith(whiskers ? " Whiskers are 95 % intervals."
                                        : " No point has whiskers, because none has an interval."));
  }
  const std::string text = sentences_of(report);
  for (const char* of_the_project : {"experiment 1", "notebook", "With L2", "generalis"}) {
    CHECK_THAT(text, !Catch::Contains(of_the_project));
  }
}

}  // namespace

TEST_CASE("a sweep trains every configuration with every seed, and tests its claims", "[sanitize]") {
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

TEST_CASE("a sweep that is interrupted goes on to the same bits", "[sanitize]") {
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

TEST_CASE("shares of a sweep come together to what one start would have made") {
  const TemporaryDirectory directory;
  write_sweep(directory, small_sweep);
  const std::string sweep = "sweep sweep.toml --data data --device cpu ";
  REQUIRE(run(directory, sweep + "--out whole").exit_code == 0);
  for (const char* shard : {"1/3", "2/3", "3/3"}) {
    const Outcome outcome = run(directory, sweep + "--out part/ --shard " + shard);
    CAPTURE(outcome.error);
    REQUIRE(outcome.exit_code == 0);
    CHECK_THAT(outcome.out,
               Catch::Contains("when all 3 shares are done: handgrad sweep --merge part-*-of-3 --out part/"));
  }
  const std::string merge = "sweep --merge part-3-of-3 part-1-of-3 part-2-of-3 --out merged";

  SECTION("rows, findings and models are the same") {
    const Outcome merged = run(directory, merge);
    CAPTURE(merged.error);
    REQUIRE(merged.exit_code == 0);
    const std::vector<Json> rows = rows_of(directory / "whole");
    REQUIRE(rows.size() == 18);
    CHECK(rows_of(directory / "merged") == rows);
    CHECK(contents(directory / "merged/models/plain.pt") == contents(directory / "whole/models/plain.pt"));
    CHECK(contents(directory / "merged/models/normalised.pt") ==
          contents(directory / "whole/models/normalised.pt"));
    Json whole = Json::parse(contents(directory / "whole/sweep.json"));
    Json plan = Json::parse(contents(directory / "merged/sweep.json"));
    CHECK(plan.at("seconds") > 0);
    for (Json* one : {&whole, &plan}) {
      one->erase("seconds");
      one->erase("command");
    }
    CHECK(plan == whole);
    CHECK_THAT(merged.out, Catch::Contains("Batch norm helps") && Catch::Contains("18 runs in "));
    // The same again, and a report of it.
    CHECK(run(directory, merge).exit_code == 0);
    CHECK(rows_of(directory / "merged") == rows);
  }
  SECTION("a share is of one number and one sweep, and goes on") {
    const std::set<fs::path> jobs(fs::directory_iterator(directory / "part-2-of-3/jobs"), {});
    fs::remove(*jobs.begin());
    check_refused(run(directory, merge), 1, "part-2-of-3: has ");
    CHECK(run(directory, sweep + "--out part --shard 2/3").exit_code == 0);
    CHECK(run(directory, merge).exit_code == 0);
    fs::rename(directory / "part-2-of-3", directory / "part-1-of-3-");
    fs::rename(directory / "part-1-of-3", directory / "part-2-of-3");
    fs::rename(directory / "part-1-of-3-", directory / "part-1-of-3");
    check_refused(run(directory, sweep + "--out part --shard 2/3"), 1,
                  "holds a sweep that differs in its shard");
  }
  SECTION("what is no whole sweep is refused, and nothing is written") {
    check_refused(run(directory, "sweep --merge part-1-of-3 part-3-of-3 --out merged"), 1,
                  "share 2 of 3 is missing");
    check_refused(run(directory, "sweep --merge part-1-of-3 ./part-1-of-3 part-2-of-3 --out merged"), 1,
                  "part-1-of-3 and ./part-1-of-3 are the same share; name it once");
    fs::copy(directory / "part-1-of-3", directory / "copy", fs::copy_options::recursive);
    check_refused(run(directory, merge + " copy"), 1,
                  "part-1-of-3 and copy are both share 1 of 3; name one of them");
    check_refused(run(directory, "sweep --merge whole --out merged"), 1, "whole: is a whole sweep");
    check_refused(run(directory, "sweep --merge data --out merged"), 1, "data: is no sweep");
    check_refused(run(directory, "sweep --merge part-1-of-3 --out part-1-of-3"), 1, "is one of the shares");
    REQUIRE(run(directory, sweep + "--out other --seeds 2 --shard 1/2").exit_code == 0);
    check_refused(run(directory, merge + " other-1-of-2"), 1,
                  "part-3-of-3 is share 3 of 3, other-1-of-2 is share 1 of 2");
    REQUIRE(run(directory, sweep + "--out other --l2 0.25 --shard 2/3").exit_code == 0);
    check_refused(run(directory, "sweep --merge part-1-of-3 part-3-of-3 other-2-of-3 --out merged"), 1,
                  "part-1-of-3 and other-2-of-3 differ in their configurations");
    write_text(directory / "copy/sweep.json",
               R"({"shard": [1], "seeds": [], "ensembles": 0, "loss": 0, "configurations": []})");
    check_refused(run(directory, "sweep --merge copy --out merged"), 1, "copy: its sweep.json is damaged");
    CHECK_FALSE(fs::exists(directory / "merged"));
  }
  SECTION("wrong numbers of shares") {
    for (const char* shard :
         {"0/3", "4/3", "3", "3/", "/3", "1/3/5", "a/b", "-1/3", "1/99999999999999999999"}) {
      CAPTURE(shard);
      check_refused(run(directory, sweep + "--out part --shard " + shard), 2, "--shard: got ");
    }
    check_refused(run(directory, sweep + "--out part --shard 1/100"), 2,
                  "must be at most one for each training");
    check_refused(run(directory, sweep + "--shard 1/3"), 2, "--shard: name a folder with --out");
    check_refused(run(directory, sweep + "--shard 1/3 --out part --dry-run"), 2,
                  "--dry-run: tells of the whole sweep");
    check_refused(run(directory, "sweep --merge --out merged"), 2, "--merge: name the folders of all shares");
    check_refused(run(directory, merge + " --epochs 3"), 2,
                  "--epochs: --merge takes the settings of the shares");
  }
}

TEST_CASE("a run that leaves the finite numbers is a marked row and a sentence, not a lost sweep",
          "[sanitize]") {
  const TemporaryDirectory directory;
  write_sweep(directory, replaced(small_sweep, "name = \"plain\"\nepochs = 3",
                                  "name = \"plain\"\nepochs = 3\nlearning_rate = 1e30"));
  const Outcome outcome = run(directory, "sweep sweep.toml --data data --out s");
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out,
             Catch::Contains("plain: 3 of 3 runs left out of all means; seed 1, because at step ") &&
                 Catch::Contains("no longer finite") &&
                 Catch::Contains("0 seeds with all of its runs are too few"));
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
               Catch::Contains("plain: 3 of 3 runs left out of all means"));
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

TEST_CASE("a report shows what augmentation makes of the images of a run, and nothing of a run without") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "data");
  write_small_dataset(directory / "data");
  const std::string train = "train --data data --hidden 5 --batch-size 2 --epochs 1 --out ";
  REQUIRE(run(directory, train + "plain").exit_code == 0);
  REQUIRE(run(directory, train + "changed --augment light --shift 0.5 --schedule cosine --augment-final 0.1")
              .exit_code == 0);
  const std::string title = "What augmentation makes of images";
  const Json without = report_of(directory, "plain");
  if (without.is_null()) return;
  CHECK(block_of(without, title).is_null());
  const Json tiles = block_of(report_of(directory, "plain changed"), title)["tiles"];
  REQUIRE(tiles.size() == 1);
  CHECK(tiles[0]["caption"] ==
        "changed: rotation 7°, scale 0.08, shear 0.08, shift 0.5 px; 0.1 of that at the end");
  fs::rename(directory / "data", directory / "elsewhere");
  const Json missing = report_of(directory, "plain changed");
  CHECK(block_of(missing, title).is_null());
  CHECK_THAT(sentences_of(missing), Catch::Contains("changed: left out, because the data cannot be read"));
}

TEST_CASE("a report gives every configuration's means, intervals and endings, whatever else the sweep has",
          "[sanitize]") {
  const TemporaryDirectory directory;
  const bool has_grid = GENERATE(true, false);
  const bool has_experiments = has_grid ? GENERATE(true, false) : true;
  std::string text = has_grid ? small_sweep : only_experiments();
  if (!has_experiments) text = text.substr(0, text.find("[[experiment]]"));
  CAPTURE(text);
  write_sweep(directory, text);
  REQUIRE(run(directory, "sweep sweep.toml --data data --out s").exit_code == 0);
  const Json report = report_of(directory, "s");
  if (report.is_null()) return;
  check_sound(report);
  const Json plan = Json::parse(contents(directory / "s" / "sweep.json"));
  const Json accuracy = block_of(report, "Accuracy as numbers");
  const Json endings = block_of(report, "How training ended, and what it took");
  REQUIRE(accuracy["rows"].size() == plan["configurations"].size());
  REQUIRE(endings["rows"].size() == plan["configurations"].size());
  for (const Json& configuration : plan["configurations"]) {
    const std::string name = configuration["name"];
    CAPTURE(name);
    double sum = 0;
    for (const Json& row : rows_of(directory / "s")) {
      if (row["configuration"] == name) sum += 100 * row["test_accuracy"].get<double>();
    }
    std::ostringstream mean;
    mean << std::fixed << std::setprecision(2) << sum / 3;
    CHECK_THAT(cell_of(accuracy, name, "test accuracy %"), Catch::StartsWith(mean.str()));
    CHECK(cell_of(accuracy, name, "finite runs") == "3");
    CHECK(cell_of(endings, name, "runs") == "3");
    CHECK(cell_of(endings, name, "max epochs") == "3");
  }
  CHECK_THAT(sentences_of(report), Catch::Contains("by Student's t, cut off where"));
  CHECK(block_of(report, "Test accuracy of the grid, %").is_null() != has_grid);
  CHECK(block_of(report, "Validation loss of the experiments").is_null() != has_experiments);
  CHECK(block_of(report, "Claims put to the test").is_null() != (has_grid && has_experiments));
}

TEST_CASE("a sweep of which every run left the finite numbers ends with 1, and has a report") {
  const TemporaryDirectory directory;
  write_sweep(directory, replaced(small_sweep, "learning_rate = 0.1", "learning_rate = 1e30"));
  const Outcome outcome = run(directory, "sweep sweep.toml --data data --out s");
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error, Catch::Contains("handgrad: s: every run left the finite numbers; try a smaller"));
  CHECK_THAT(outcome.out, Catch::Contains("s/results.csv"));
  const Json report = report_of(directory, "s");
  if (report.is_null()) return;
  check_sound(report);
  CHECK(report["headlines"][1] == "Every run left the finite numbers, so that there are no means.");
  const Json endings = block_of(report, "How training ended, and what it took");
  CHECK(endings["rows"].size() == 6);
  CHECK(cell_of(endings, "plain", "non finite") == "3");
  CHECK(block_of(report, "Accuracy as numbers").is_null());
}

TEST_CASE("a report of one seed has no interval and speaks of none") {
  const TemporaryDirectory directory;
  write_sweep(directory, small_sweep);
  const Outcome outcome = run(directory, "sweep sweep.toml --data data --out s --seeds 1");
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Catch::Contains("Of one run each, without intervals:") && !Catch::Contains("±"));
  const Json report = report_of(directory, "s");
  if (report.is_null()) return;
  check_sound(report);
  const Json accuracy = block_of(report, "Accuracy as numbers");
  CHECK_THAT(accuracy["see"].get<std::string>(), Catch::Contains("Of one run each, without intervals."));
  for (const char* of_several : {"±", "Student", "mean over", "Mean over", "the seeds, and a band", "overlap",
                                 "interval of", "An interval", "paired"}) {
    CHECK_THAT(sentences_of(report), !Catch::Contains(of_several));
  }
}

TEST_CASE("a report of a sweep that was cut short counts the runs that are there") {
  const TemporaryDirectory directory;
  write_sweep(directory, only_experiments());
  REQUIRE(run(directory, "sweep sweep.toml --data data --out s").exit_code == 0);
  // `plain` keeps two seeds, `normalised` one.
  for (const char* job : {"seed-3-ensemble-0", "seed-2-ensemble-1", "seed-3-ensemble-1"}) {
    REQUIRE(fs::remove(directory / "s" / "jobs" / (std::string(job) + ".json")));
  }
  const Json report = report_of(directory, "s");
  if (report.is_null()) return;
  check_sound(report);
  CHECK(report["headlines"] == Json::array({"The sweep is not finished: 3 of 6 runs are there."}));
  const Json accuracy = block_of(report, "Accuracy as numbers");
  CHECK(cell_of(accuracy, "plain", "finite runs") == "2");
  CHECK(cell_of(accuracy, "normalised", "finite runs") == "1");
}

TEST_CASE("the experiments whose weights are compared are those that the sweep's file names") {
  const TemporaryDirectory directory;
  write_sweep(directory, only_experiments() + "[weights]\ncompare = [\"normalised\", \"plain\"]\n");
  REQUIRE(run(directory, "sweep sweep.toml --data data --out s").exit_code == 0);
  const Json report = report_of(directory, "s");
  if (report.is_null()) return;
  check_sound(report);
  CHECK_FALSE(block_of(report, "First layer: normalised minus plain").is_null());
  CHECK_THAT(sentences_of(report), Catch::Contains("They differ in batch_norm: true and false."));
  // A sweep of a version that knew no such key.
  Json plan = Json::parse(contents(directory / "s" / "sweep.json"));
  REQUIRE(plan.erase("compared_weights") == 1);
  write_text(directory / "s" / "sweep.json", plan.dump());
  CHECK(block_of(report_of(directory, "s"), "First layer: normalised minus plain").is_null());
}

TEST_CASE("sweeps of the same name stay apart in a report of both") {
  const TemporaryDirectory directory;
  write_sweep(directory, only_experiments());
  REQUIRE(run(directory, "sweep sweep.toml --data data --out s").exit_code == 0);
  const Json report = report_of(directory, "s s");
  if (report.is_null()) return;
  check_sound(report);
  std::set<std::string> ids;
  for (const Json& section : report["sections"]) CHECK(ids.insert(section["id"]).second);
  CHECK_THAT(sentences_of(report), Catch::Contains("Results, sweep (2)"));
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
      {"test_accuracy = 99.5", "test_acuracy = 99.5",
       "[published] plain: there is no measure test_acuracy; must be one of"},
      {"test_accuracy = 99.5", "test_accuracy = [99.5]", "[published] plain test_accuracy: must be a number"},
      {"test_accuracy = 99.5", "weight_deviation = 0.3", "weight_deviation: must be a list of numbers"},
      {"[convergence]", "[weights]\ncompare = [\"plain\"]\n[convergence]",
       "[weights]: compare: must be the names of two [[experiment]]s"},
      {"[convergence]", "[weights]\ncompare = [\"plain\", \"2 epochs, λ 0\"]\n[convergence]",
       "[weights]: compare: must be the names of two [[experiment]]s"},
      {"[convergence]", "[weights]\ncompare = [\"plain\", \"plain\"]\n[convergence]",
       "[weights]: compare: must be the names of two [[experiment]]s"},
      {"batch_norm = true", "hidden = \"4\"\n[weights]\ncompare = [\"plain\", \"normalised\"]",
       "plain and normalised differ in hidden"},
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
  check_refused(run(directory, "sweep"), 2, "one TOML file, got none");
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
