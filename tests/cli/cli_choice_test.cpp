// Training on all images, with what validation chose in another run: on the command line.
#include <map>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "data/small_files.h"

using nlohmann::json;

namespace {

// 9 images to train on in 2 steps an epoch, and 3 to validate on; without those, 12 images in 3 steps.
const std::string chosen_settings =
    "train --data data --batch-size 5 --hidden 4 --batch-norm --learning-rate 0.05 --min-delta 100 ";
const std::string validated_settings = chosen_settings + "--validation-fraction 0.25 --out run ";

// A directory with a small data set.
class ChosenRuns {
 public:
  ChosenRuns() {
    fs::create_directory(directory / "data");
    write_small_dataset(directory / "data");
  }

  Outcome train(const std::string& command) const {
    Outcome outcome = run(directory, command);
    CAPTURE(command, outcome.error);
    REQUIRE(outcome.exit_code == 0);
    return outcome;
  }

  json read(const std::string& file) const { return json::parse(contents(directory / file)); }

  void change(const std::string& file, const std::string& pointer, const json& value) const {
    json changed = read(file);
    changed.at(json::json_pointer(pointer)) = value;
    write_text(directory / file, changed.dump());
  }

  std::map<std::string, std::string> files(const std::string& name) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(directory / name)) {
      files[entry.path().filename().string()] = contents(entry.path());
    }
    return files;
  }

  std::string path(const std::string& name) const {
    return (fs::canonical(directory.path()) / name).string();
  }

  TemporaryDirectory directory;
};

}  // namespace

TEST_CASE("a training on all images is that of the settings which validation chose") {
  struct Case {
    std::string both, run, by_hand, words, key;
    bool kept;
  };
  // No validation counts as an improvement but the first.
  const auto [both, of_run, by_hand, words, key, kept] = GENERATE(values<Case>({
      {"--evaluate-every 5 ", "--epochs 40 --patience 2 ", "--epochs 3 ", "3 epochs", "", true},
      {"--evaluate-every 2 ", "--epochs 5 --patience none ", "--epochs 1 ", "1 epoch", "", true},
      {"--schedule cosine --augment light --augment-final 0.5 --epochs 6 ", "--patience 1 ", "",
       "the whole schedule of 6 epochs", "", true},
      {"", "--epochs 2 --ema 0.5 ", "--epochs 1 ", "1 epoch, no moving average", "averaged", false},
      {"--ema 0.5 ", "--epochs 2 ", "--epochs 1 ", "1 epoch, the moving average", "averaged", true},
      {"--schedule step --epochs 2 ", "--reestimate-batch-norm ", "",
       "the whole schedule of 2 epochs, batch norm not re-estimated", "reestimated", false},
      {"--reestimate-batch-norm ", "--epochs 2 ", "--epochs 1 ", "1 epoch, batch norm re-estimated",
       "reestimated", true},
  }));
  const ChosenRuns runs;
  runs.train(validated_settings + both + of_run);
  // Of so few images rounding might decide which is the better one.
  if (!key.empty()) runs.change("run/summary.json", "/replicas/0/" + key, kept);
  const auto before = runs.files("run");
  CAPTURE(words, before.at("summary.json"));
  const Outcome outcome = runs.train("train --train-on-all run/ --out all");
  CHECK_THAT(outcome.out, Catch::Contains("12 train, 0 validation, 6 test images"));
  CHECK_THAT(outcome.out,
             Catch::Contains("all 12 images; chosen by " + runs.path("run") + ": " + words + "\n"));
  runs.train(chosen_settings + both + by_hand + "--validation-fraction 0 --patience none --out by-hand");
  for (const char* file : {"model.pt", "metrics.jsonl"}) {
    CAPTURE(file);
    CHECK(contents(runs.directory / "all" / file) == contents(runs.directory / "by-hand" / file));
  }
  json config = runs.read("all/config.json");
  CHECK(config.at("chosen_by") == runs.path("run"));
  config.erase("chosen_by");
  CHECK(config == runs.read("by-hand/config.json"));
  CHECK(runs.files("run") == before);
}

TEST_CASE("a training on all images takes flags, goes on, and is a run as any other", "[sanitize]") {
  const ChosenRuns runs;
  runs.train(chosen_settings + "--epochs 1 --validation-fraction 0 --out first");
  runs.train(validated_settings + "--epochs 3 --init first");
  const Outcome outcome = runs.train("train --train-on-all run --epochs 4 --learning-rate 0.1 --out all");
  json config = runs.read("all/config.json");
  CHECK(config.at("epochs") == 4);
  CHECK(config.at("learning_rate") == 0.1);
  CHECK(config.at("init") == runs.path("first/model.pt"));

  runs.train("train --resume all --epochs 6");
  config["epochs"] = 6;
  CHECK(runs.read("all/config.json") == config);
  runs.train("train --config all/config.json --out again");
  CHECK(contents(runs.directory / "again/model.pt") == contents(runs.directory / "all/model.pt"));
  // What it was told it has from that file, whoever chose it.
  CHECK(runs.read("again/config.json").count("chosen_by") == 0);
}

TEST_CASE("what a training on all images refuses") {
  const ChosenRuns runs;
  runs.train(validated_settings + "--epochs 3");
  const auto refused = [&](const std::string& flags, int exit_code, const std::string& part) {
    CAPTURE(flags);
    check_refused(run(runs.directory, "train --out never " + flags), exit_code, part);
    CHECK_FALSE(fs::exists(runs.directory / "never"));
  };
  const std::string all = "--train-on-all run ";
  refused(all + "--resume run", 2, "--resume: --train-on-all begins another run; leave one of the two out");
  refused(all + "--config run/config.json", 2, "--config: --train-on-all has the settings of its run");
  refused(all + "--init run", 2, "--init: --train-on-all begins as its run did");
  refused(all + "--validation-fraction 0.2", 2, "--validation-fraction: --train-on-all leaves no images");
  refused(all + "--patience 3", 2, "--patience: --train-on-all has no validation that could end it");
  check_refused(run(runs.directory, "train --train-on-all run --out ./run --overwrite"), 1,
                "--out: is the run that --train-on-all names; choose another directory");
  refused("--train-on-all data", 1, "--train-on-all: data holds no run, it has no config.json");
  refused("--train-on-all missing", 1, "--train-on-all: missing holds no run");

  runs.train(chosen_settings + "--epochs 1 --validation-fraction 0 --out unwatched");
  refused("--train-on-all unwatched", 1,
          "unwatched had no validation set that could choose; name a run with");
  runs.train(chosen_settings + "--epochs 1 --validation-fraction 0.25 --replicas 2 --out two");
  refused("--train-on-all two", 1, "two has 2 networks, for each of which validation chose by itself");
  runs.train(chosen_settings + "--epochs 0 --validation-fraction 0.25 --out initial");
  refused("--train-on-all initial", 1, "initial did not train, it has 0 epochs");
  runs.train(chosen_settings + "--epochs 1 --validation-fraction 0.25 --compat split-twice --out twice");
  refused("--train-on-all twice", 1, "twice splits off images twice, so that nothing trains on all");
  const std::string diverging =
      chosen_settings + "--epochs 100 --batch-norm none --l2 1 --evaluate-every 1 --patience none ";
  CHECK(run(runs.directory, diverging + "--validation-fraction 0.25 --learning-rate 1000 --out diverged")
            .exit_code == 1);
  refused("--train-on-all diverged", 1, "diverged left the finite numbers; name a run that did not");

  // Stopped by a signal; killed, when it was given more epochs; killed.
  const Outcome stopped =
      run(runs.directory,
          chosen_settings +
              "--validation-fraction 0.25 --epochs 200000 --patience none --out stopped & pid=$!; "
              "for i in $(seq 200); do "
              "test -s stopped/metrics.jsonl && break; sleep 0.05; done; kill -INT $pid; wait $pid");
  CHECK(stopped.exit_code == 130);
  const std::string unfinished = " is not finished; go on with it: handgrad train --resume ";
  refused("--train-on-all stopped", 1, "stopped" + unfinished + "stopped");
  runs.change("run/config.json", "/epochs", 4);
  refused(all, 1, "run" + unfinished + "run");
  runs.change("run/config.json", "/epochs", 3);
  runs.change("run/summary.json", "/replicas/0/best_step", 1);
  refused(all, 1, "metrics.jsonl: has no step 1, the best by summary.json; train the run again");
  runs.change("run/summary.json", "/replicas", json::array({1}));
  refused(all, 1, "--train-on-all: run has a file that is not what this version writes");
  fs::remove(runs.directory / "run/summary.json");
  refused(all, 1, "run" + unfinished + "run");
}
