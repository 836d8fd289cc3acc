// Runs that stop, for whatever reason, and go on: on the command line.
#include <map>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "data/small_files.h"

using nlohmann::json;

namespace {

const std::string settings =
    "train --data data --batch-size 5 --hidden 4 --batch-norm --optimizer adam --epochs 4000 --patience "
    "1000000 --validation-fraction 0.25 ";

// A directory with a small data set, and `whole`, a run that was left alone.
class Runs {
 public:
  Runs() {
    fs::create_directory(directory / "data");
    write_small_dataset(directory / "data");
  }

  void train_whole() const {
    const Outcome outcome = run(directory, settings + "--out whole");
    CAPTURE(outcome.error);
    REQUIRE(outcome.exit_code == 0);
  }

  void check_same(const std::string& name) const {
    for (const char* file : {"config.json", "metrics.jsonl", "model.pt"}) {
      CAPTURE(file);
      CHECK(contents(directory / name / file) == contents(directory / "whole" / file));
    }
    json a = json::parse(contents(directory / name / "summary.json"));
    json b = json::parse(contents(directory / "whole/summary.json"));
    for (const char* key : {"seconds", "microseconds_per_step"}) {
      CHECK(a.at(key) > 0);
      a.erase(key);
      b.erase(key);
    }
    CHECK(a == b);
  }

  // Starts a training in `part`, and has the shell run `then` once a checkpoint and its predecessor are
  // there.
  Outcome train_part(const std::string& then, const std::string& flags = "--checkpoint-every 10 ",
                     const std::string& environment = "") const {
    return run(directory,
               settings + flags +
                   "--out part & pid=$!; for i in $(seq 200); do test -e "
                   "part/checkpoint-previous.safetensors && break; sleep 0.05; done; " +
                   then,
               environment);
  }

  TemporaryDirectory directory;
};

}  // namespace

TEST_CASE("an interrupted run goes on to the same bytes", "[sanitize]") {
  const Runs runs;
  runs.train_whole();
  const auto [signal, exit_code] =
      GENERATE(table<std::string, int>({{"INT", 130}, {"TERM", 143}, {"HUP", 129}}));
  const Outcome outcome = runs.train_part("kill -" + signal + " $pid; wait $pid");
  CAPTURE(outcome.error);
  CHECK(outcome.exit_code == exit_code);
  const std::string summary = contents(runs.directory / "part/summary.json");
  CHECK_THAT(summary, Catch::Contains("interrupted"));
  const Outcome resumed = run(runs.directory, "train --resume part");
  CAPTURE(resumed.error);
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.out, Catch::Contains("going on after step "));
  runs.check_same("part");
}

TEST_CASE("a run that is killed goes on from its checkpoint, or from the one before", "[sanitize]") {
  const Runs runs;
  runs.train_whole();
  // Whatever was written after the checkpoint, or half written, is cut off.
  const Outcome killed = runs.train_part("kill -KILL $pid; wait $pid");
  REQUIRE(killed.exit_code == 137);
  const TemporaryDirectory& directory = runs.directory;
  const fs::path newest = directory / "part/checkpoint.safetensors";
  const fs::path previous = directory / "part/checkpoint-previous.safetensors";
  std::ofstream(directory / "part/metrics.jsonl", std::ios::app) << "{\"kind\":\"tr";
  write_text(directory / "part/.handgrad-1-0.tmp", "half");
  // The kill can fall between the two renames of a checkpoint, when there is only the previous one.
  if (!fs::exists(newest)) fs::copy_file(previous, newest);
  SECTION("whole") {
    const Outcome resumed = run(directory, "train --resume part");
    CHECK(resumed.exit_code == 0);
    CHECK_THAT(resumed.error, !Catch::Contains("warning"));
    CHECK_FALSE(fs::exists(directory / "part/.handgrad-1-0.tmp"));
    runs.check_same("part");
  }
  SECTION("the newest damaged") {
    std::string bytes = contents(newest);
    bytes[bytes.size() - 9] = static_cast<char>(bytes[bytes.size() - 9] ^ 1);
    write_text(newest, bytes);
    const Outcome resumed = run(directory, "train --resume part");
    CHECK(resumed.exit_code == 0);
    CHECK_THAT(resumed.error, Catch::Contains("warning: part/checkpoint.safetensors: is damaged") &&
                                  Catch::Contains("going on from checkpoint-previous.safetensors"));
    runs.check_same("part");
    // The damaged file has not taken the place of the one that served.
    fs::remove(newest);
    CHECK(run(directory, "train --resume part").exit_code == 0);
    runs.check_same("part");
  }
  SECTION("the newest not there") {
    fs::remove(newest);
    CHECK(run(directory, "train --resume part").exit_code == 0);
    runs.check_same("part");
  }
  SECTION("lost metrics") {
    write_text(directory / "part/metrics.jsonl", "");
    CHECK_THAT(run(directory, "train --resume part").error, Catch::Contains("metrics.jsonl has lost lines"));
  }
  SECTION("both damaged") {
    write_text(newest, "");
    write_text(previous, contents(previous).substr(0, 100));
    check_refused(run(directory, "train --resume part"), 1,
                  "there is no other checkpoint: begin anew with --config");
  }
  SECTION("none yet") {
    fs::remove(newest);
    fs::remove(previous);
    const Outcome resumed = run(directory, "train --resume part");
    CHECK_THAT(resumed.out, Catch::Contains("going on after step 0"));
    runs.check_same("part");
  }
}

TEST_CASE("a run goes on with its own settings") {
  const Runs runs;
  const TemporaryDirectory& directory = runs.directory;
  const std::string few = "train --data data --batch-size 5 --hidden 4 --epochs 4 --validation-fraction 0 ";
  REQUIRE(run(directory, few + "--out part").exit_code == 0);
  const auto refused = [&](const std::string& flags, int exit_code, const std::string& part) {
    CAPTURE(flags);
    check_refused(run(directory, "train --resume part " + flags), exit_code, part);
  };
  refused("--learning-rate 0.1", 1,
          "--resume: the run has learning_rate 0.009, not 0.1; leave --learning-rate out");
  refused("--hidden 5", 1, "the run has hidden \"4\", not \"5\"");
  refused("--seed 2", 1, "the run has seed 1, not 2");
  const std::string config = contents(directory / "part/config.json");
  for (const auto& [text, part] : std::map<std::string, std::string>{
           {"[1]", "it has no data"},
           {"{}", "it has no data"},
           {"{\"hidden\":" + std::string(100000, '[') + std::string(100000, ']') + "}", "is not JSON"}}) {
    write_text(directory / "part/config.json", text);
    refused("", 1, part);
  }
  write_text(directory / "part/config.json", config);
  refused("--epochs 3", 1, "the run has epochs 4, not 3");
  refused("--out elsewhere", 2, "--out: a run that goes on has its own");
  refused("--init part", 2, "--init: a run that goes on");
  refused("--checkpoint-every 0", 2, "--checkpoint-every: got 0; must be auto");
  refused("--checkpoint-every 1x", 2, "--checkpoint-every: got 1x");
  check_refused(run(directory, "train --resume data"), 1, "holds no run");
  check_refused(run(directory, "train --resume missing"), 1, "holds no run");
  fs::copy(directory / "data", directory / "other");
  std::string bytes = contents(directory / "other/train-images-idx3-ubyte");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_text(directory / "other/train-images-idx3-ubyte", bytes);
  refused("--data other", 1, "other: is not the data that the run was trained on");

  // A longer training would have had other rates from the beginning.
  REQUIRE(run(directory, few + "--schedule cosine --out to-zero").exit_code == 0);
  check_refused(run(directory, "train --resume to-zero --epochs 5"), 1,
                "the run has epochs 4, not 5; leave --epochs out, or begin another run");

  // A finished run without checkpoints, and one that was being overwritten.
  fs::copy(directory / "part", directory / "finished");
  fs::remove(directory / "finished/checkpoint.safetensors");
  fs::remove(directory / "finished/checkpoint-previous.safetensors");
  check_refused(run(directory, "train --resume finished"), 1, "finished is finished and has no checkpoint");
  for (const char* file : {"config.json", "metrics.jsonl", "model.pt", "summary.json"}) {
    fs::remove(directory / "finished" / file);
  }
  write_text(directory / "finished/.handgrad-1-0.tmp", "half");
  CHECK(run(directory, few + "--out finished").exit_code == 0);

  // In shards the number of threads does not matter.
  REQUIRE(run(directory, few + "--shards 2 --out shards").exit_code == 0);
  const Outcome shards = run(directory, "train --resume shards --epochs 5 --threads 2");
  CAPTURE(shards.error);
  CHECK(shards.exit_code == 0);
  CHECK(shards.error.find("last bits") == std::string::npos);

  // More epochs, another place of the same data, other threads.
  fs::rename(directory / "data", directory / "moved");
  const Outcome more = run(directory, "train --resume part --data moved --epochs 9 --threads 2");
  CAPTURE(more.error);
  CHECK(more.exit_code == 0);
  CHECK_THAT(more.error, Catch::Contains("1 thread,") && Catch::Contains("2 threads,") &&
                             Catch::Contains("the last bits of the result may differ"));
  REQUIRE(run(directory, few + "--data moved --epochs 9 --out nine").exit_code == 0);
  CHECK(json::parse(contents(directory / "part/summary.json")).at("replicas") ==
        json::parse(contents(directory / "nine/summary.json")).at("replicas"));
}

TEST_CASE("a run directory is used by one program at a time") {
  const Runs runs;
  const Outcome outcome = runs.train_part(
      "for arguments in 'train --resume part' 'train --data synthetic --overwrite --out part'; do "
      "'" HANDGRAD_PROGRAM
      "' $arguments >>second.txt 2>&1; echo \"exit $?\" >>second.txt; done; kill -KILL $pid; wait $pid",
      "--checkpoint-every 10 --epochs 1000000 ");
  CHECK(outcome.exit_code == 137);
  const std::string second = contents(runs.directory / "second.txt");
  CAPTURE(second);
  const std::string line =
      "part: another handgrad is at work in it; wait for it, or choose another directory\nexit 1\n";
  const std::size_t first = second.find(line);
  CHECK(first != std::string::npos);
  CHECK(second.find(line, first + 1) != std::string::npos);
  // The lock ended with its owner.
  CHECK(run(runs.directory, settings + "--epochs 0 --overwrite --out part").exit_code == 0);
}

TEST_CASE("where nothing can be written any more, training goes on, says so and damages nothing",
          "[sanitize]") {
  const Runs runs;
  const TemporaryDirectory& directory = runs.directory;
  runs.train_whole();
  SECTION("no file may grow beyond 4 KiB: metrics and checkpoints fail") {
    const Outcome outcome = run(directory, settings + "--checkpoint-every 3000 --out part", "ulimit -f 4;");
    CAPTURE(outcome.error);
    CHECK(outcome.exit_code == 1);
    CHECK_THAT(outcome.error,
               Catch::Contains("warning: part/metrics.jsonl: cannot be written: File too large") &&
                   Catch::Contains("handgrad: part/model.pt: cannot be written"));
    // What was on disk before is a checkpoint to go on from, or none.
    const Outcome resumed = run(directory, "train --resume part");
    CAPTURE(resumed.error);
    CHECK(resumed.exit_code == 0);
    runs.check_same("part");
  }
  SECTION("no file may grow beyond 100 KiB: metrics fail, and no checkpoint may speak of what is not there") {
    const Outcome outcome = run(directory, settings + "--checkpoint-every 100 --out part", "ulimit -f 100;");
    CAPTURE(outcome.error);
    CHECK(outcome.exit_code == 1);
    CHECK_THAT(outcome.error, Catch::Contains("warning: part/metrics.jsonl: cannot be written") &&
                                  Catch::Contains("warning: no checkpoint: part/metrics.jsonl"));
    const Outcome resumed = run(directory, "train --resume part");
    CAPTURE(resumed.error);
    CHECK(resumed.exit_code == 0);
    CHECK_THAT(resumed.error, !Catch::Contains("has lost lines"));
    runs.check_same("part");
  }
  SECTION("the directory is removed") {
    const Outcome outcome =
        runs.train_part("mv part away; wait $pid", "--checkpoint-every 10 ", "TMPDIR=$PWD/none");
    CAPTURE(outcome.error);
    CHECK(outcome.exit_code == 1);
    CHECK_THAT(outcome.error,
               Catch::Contains("warning: no checkpoint: part/checkpoint.safetensors: cannot be written") &&
                   Catch::Contains("handgrad: part/model.pt: cannot be written"));
  }
  SECTION("a full disk for standard output") {
    const Outcome outcome = run(directory, "evaluate whole --data data >/dev/full");
    CHECK(outcome.exit_code == 1);
    CHECK_THAT(outcome.error, Catch::Contains("standard output cannot be written"));
  }
}

TEST_CASE("a second signal skips measuring, and the run goes on to the same bytes", "[sanitize]") {
  const Runs runs;
  runs.train_whole();
  const Outcome outcome = runs.train_part("kill -TERM $pid; kill -INT $pid; wait $pid");
  CAPTURE(outcome.out, outcome.error);
  CHECK((outcome.exit_code == 143 || outcome.exit_code == 130));  // the kernel decides which comes first
  CHECK_THAT(outcome.out, Catch::Contains("interrupted before all was measured and saved; to go on: handgrad "
                                          "train --resume part"));
  CHECK_FALSE(fs::exists(runs.directory / "part/summary.json"));
  const Outcome resumed = run(runs.directory, "train --resume part");
  CAPTURE(resumed.error);
  CHECK(resumed.exit_code == 0);
  runs.check_same("part");
}

TEST_CASE("a model that cannot be written is written by going on") {
  const Runs runs;
  runs.train_whole();
  const Outcome outcome = runs.train_part("mkdir part/model.pt; wait $pid");
  CAPTURE(outcome.out, outcome.error);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error, Catch::Contains("part/model.pt") && Catch::Contains("the training is saved") &&
                                Catch::Contains("handgrad train --resume part"));
  fs::remove(runs.directory / "part/model.pt");
  const Outcome resumed = run(runs.directory, "train --resume part");
  CAPTURE(resumed.error);
  CHECK(resumed.exit_code == 0);
  runs.check_same("part");
}

TEST_CASE("where neither checkpoint nor model can be written, the model goes to a second place",
          "[sanitize]") {
  const Runs runs;
  runs.train_whole();
  fs::create_directory(runs.directory / "second");
  const Outcome outcome = run(runs.directory,
                              "train --config whole/config.json --checkpoint-every 1000000 --out part & "
                              "pid=$!; for i in $(seq 200); do test -e part/metrics.jsonl && break; sleep "
                              "0.05; done; mkdir -p part/model.pt part/checkpoint.safetensors "
                              "part/checkpoint-previous.safetensors/x; wait $pid",
                              "TMPDIR=\"$PWD/second\" ");
  CAPTURE(outcome.out, outcome.error);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error,
             Catch::Contains("warning: no checkpoint") &&
                 Catch::Contains("model and summary are in " + (runs.directory / "second").string()));
  int found = 0;
  for (const fs::directory_entry& place : fs::directory_iterator(runs.directory / "second")) {
    ++found;
    CHECK(contents(place.path() / "model.pt") == contents(runs.directory / "whole/model.pt"));
    CHECK(fs::exists(place.path() / "summary.json"));
  }
  CHECK(found == 1);
}
