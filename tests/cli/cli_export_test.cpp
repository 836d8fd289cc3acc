// `handgrad export` and model files on the command line: messages, exit codes, what is written and what is
// not.
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "data/small_files.h"

using nlohmann::json;

namespace {

// A directory with a small data set and a run of three networks with batch norm in it.
class ExportedRun {
 public:
  ExportedRun() {
    fs::create_directory(directory / "data");
    write_small_dataset(directory / "data");
    const Outcome outcome =
        run(directory,
            "train --data data --epochs 2 --batch-size 4 --hidden 4 --batch-norm --replicas 3 "
            "--validation-fraction 0 --out run");
    CAPTURE(outcome.error);
    REQUIRE(outcome.exit_code == 0);
  }

  // A program of this name that comes first on PATH and is this shell script.
  void fake(const std::string& name, const std::string& script) const {
    fs::create_directory(directory / "bin");
    write_text(directory / "bin" / name, "#!/bin/sh\n" + script + "\n");
    fs::permissions(directory / "bin" / name, fs::perms::owner_all);
  }

  TemporaryDirectory directory;
};

// The files of a directory that are not those it began with.
std::vector<std::string> written(const TemporaryDirectory& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory.path())) {
    const std::string name = entry.path().filename().string();
    if (name != "data" && name != "run" && name != "bin") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("wrong arguments of export are refused by name, and nothing is written") {
  const ExportedRun trained;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "name one model"},
      {"run run --format onnx", "name one model"},
      {"run", "--format: not given; must be one of torchscript, onnx"},
      {"run --format tflite", "--format: got tflite; must be one of torchscript"},
      {"run --format onnx --replica -1",
       "--replica: got -1; must be a whole number of at least 0, or ensemble"},
      {"run --format onnx --replica all", "--replica: got all"},
      {"run --format onnx --replica ensemble", "ensemble is written as torchscript only"},
      {"run --format torchscript --output run/model-1.pt", "is the model itself"},
      {"run/model.pt --format torchscript --output ./run/model.pt", "is the model itself"},
      {"run/model.pt --format torchscript --replica 1", "--replica: picks a network of a run directory"},
      {"run --format onnx --verfy", "verfy"},
      {"run --format c-header --data elsewhere", "--data: is for --verify, --quantise, html and ensembles"},
      {"run --format safetensors --quantise int8", "--quantise: int8 is written as c-header or onnx"},
      {"run --format html --replica ensemble", "ensemble is written as torchscript only"},
      {"run --format html --quantise int8", "--quantise: int8 is written as c-header or onnx"},
      {"run --format c-header --quantise int4", "--quantise: got int4; must be one of none, int8"},
      {"run --format c-header --quantise none --data elsewhere", "--data: is for --verify"},
  };
  for (const auto& [arguments, part] : cases) {
    CAPTURE(arguments);
    check_refused(run(trained.directory, "export " + arguments), 2, part);
  }
  CHECK(written(trained.directory).empty());
}

TEST_CASE("what cannot be exported is refused, and nothing is written") {
  const ExportedRun trained;
  const TemporaryDirectory& directory = trained.directory;
  const auto refused = [&](const std::string& arguments, const std::string& part) {
    CAPTURE(arguments);
    check_refused(run(directory, "export " + arguments), 1, part);
  };
  refused("missing --format onnx", "missing: cannot be read");
  refused("data --format onnx", "no run directory");
  refused("run --format safetensors --replica 3", "has no model-3.pt");
  refused("run --format safetensors --output missing/model.safetensors",
          "missing/model.safetensors: cannot be written");
  refused("run --format safetensors --output data", "data: cannot be written");
  refused("data/t10k-labels-idx1-ubyte --format onnx", "is no model file");
  refused("missing --format torchscript --replica ensemble", "missing: is no run directory");
  CHECK(written(directory).empty());
  CHECK(run(directory, "export run --format safetensors --fold-batch-norm").exit_code == 0);
  refused("model.safetensors --format onnx --fold-batch-norm", "has no batch norm to fold");
  refused("model.safetensors --format torchscript --replica ensemble", "is no run directory, from which");
  refused("run --format c-header --quantise int8 --data missing", "missing");
  refused("run --format html --data missing", "missing");
}

TEST_CASE("export writes where it says, under names of its own") {
  const ExportedRun trained;
  const TemporaryDirectory& directory = trained.directory;
  for (const char* arguments :
       {"--format torchscript", "--format safetensors", "--format state-dict --replica 2",
        "--format c-header", "--format c-header --quantise int8", "--format torchscript --replica ensemble",
        "--format html", "--format safetensors --output weights"}) {
    CAPTURE(arguments);
    const Outcome outcome = run(directory, std::string("export run ") + arguments);
    CAPTURE(outcome.error);
    CHECK(outcome.exit_code == 0);
    CHECK_THAT(outcome.out, Catch::Contains("saved: "));
  }
  CHECK(written(directory) == std::vector<std::string>{"model-2.state_dict.pt", "model-ensemble.pt",
                                                       "model-int8.h", "model.h", "model.html", "model.pt",
                                                       "model.safetensors", "weights"});
  CHECK(contents(directory / "weights") == contents(directory / "model.safetensors"));
  check_refused(run(directory, "export run --format c-header"), 1,
                "--output: model.h is there already; name another file, or give --force");
  write_text(directory / "model.h", "old");
  CHECK(run(directory, "export run --format c-header --force").exit_code == 0);
  // The same network, whatever file it is in.
  const std::string evaluate = " --data data --json --threads 1";
  const json of_run = json::parse(run(directory, "evaluate run --json").out);
  for (const char* file : {"model.pt", "model.safetensors"}) {
    const json of_file = json::parse(run(directory, std::string("evaluate --model ") + file + evaluate).out);
    CHECK(of_file.at("loss") == of_run.at("loss"));
  }
  const json of_third = json::parse(run(directory, "evaluate run --json --replica 2").out);
  const json of_file = json::parse(run(directory, "evaluate model-2.state_dict.pt" + evaluate).out);
  CHECK(of_file.at("loss") == of_third.at("loss"));
  CHECK(of_file.at("loss") != of_run.at("loss"));
  const std::string header = contents(directory / "model.h");
  CHECK_THAT(header, Catch::Contains("model_0_weight[48]") && Catch::Contains("training_config: {"));
  // Neither where the data lie nor what machine it was.
  CHECK_THAT(header, !Catch::Contains("\"data\"") && !Catch::Contains("\"threads\""));
}

TEST_CASE("a file is kept only if a reader agrees, and without a reader it is not kept") {
  const ExportedRun trained;
  const TemporaryDirectory& directory = trained.directory;
  write_text(directory / "model.safetensors", "old");
  const std::string command = "export run --format safetensors --force --verify";
  const auto refused = [&](const std::string& path, const std::string& part) {
    const Outcome outcome = run(directory, command, "PATH=" + path);
    CAPTURE(outcome.out, outcome.error);
    CHECK(outcome.exit_code == 1);
    CHECK(std::count(outcome.error.begin(), outcome.error.end(), '\n') == 1);
    CHECK_THAT(outcome.error, Catch::Contains(part));
    CHECK(contents(directory / "model.safetensors") == "old");
    CHECK(written(directory) == std::vector<std::string>{"model.safetensors"});
  };
  const std::string fakes = "\"$PWD/bin:$PATH\"";
  // Arguments of the reader: -c, the script, format, model, pixels, probabilities, rows, columns.
  trained.fake("python3", "echo fake; head -c 72 /dev/zero >\"$6\"");
  refused(fakes, "fake computes something else from it");
  trained.fake("python3", "echo fake; head -c 72 /dev/zero | tr '\\0' '\\377' >\"$6\"");  // NaN
  refused(fakes, "fake computes something else from it");
  trained.fake("python3", "echo fake; head -c 68 /dev/zero >\"$6\"");
  refused(fakes, "python3 gave 68 bytes of probabilities for 6 images of 3 classes");
  trained.fake("python3", "echo first >&2; echo the reason >&2; exit 3");
  refused(fakes, "python3 cannot run the file (exit code 3): the reason");
  // A compiler whose program is not there, one that finds fault, and one that is interrupted.
  const std::string compile = "export run --format c-header --verify";
  trained.fake("cc", "exit 0");
  Outcome outcome = run(directory, compile, "PATH=" + fakes);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error, Catch::Contains("to a program that cannot be run here"));
  trained.fake(
      "cc",
      "test \"$1\" = --version || { echo 'x.c:1: error: the reason' >&2; echo 'that was it' >&2; exit 1; }");
  outcome = run(directory, compile, "PATH=" + fakes);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error, Catch::Contains("error: the reason") && !Catch::Contains("that was it"));
  trained.fake("cc", "test \"$1\" = --version || { kill $PPID; sleep 1; exit 1; }");
  outcome = run(directory, compile, "PATH=" + fakes);
  CHECK(outcome.exit_code == 128 + 15);
  CHECK(written(directory) == std::vector<std::string>{"model.safetensors"});
  // For C headers there is no second place to look: a PATH without a compiler has no reader.
  outcome = run(directory, compile, "PATH=/nowhere");
  CAPTURE(outcome.error);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error, Catch::Contains("no reader of the format c-header; install a C compiler"));
  CHECK_FALSE(fs::exists(directory / "model.h"));
}

TEST_CASE("a page shows test images where there are any, and is verified by its own script", "[sanitize]") {
  const ExportedRun trained;
  const TemporaryDirectory& directory = trained.directory;
  const std::string command = "export run --format html --force";
  Outcome outcome = run(directory, command);
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Catch::Contains("of these bytes are the weights") && !Catch::Contains("without"));
  const std::string page = contents(directory / "model.html");
  CHECK_THAT(page, Catch::Contains("\"t10k 0\"") && !Catch::Contains("@@"));
  // Where there is no data set, the network is written all the same.
  fs::rename(directory / "data", directory / "away");
  outcome = run(directory, command);
  fs::rename(directory / "away", directory / "data");
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Catch::Contains("without test images: ") && Catch::Contains("are 0 test images"));
  CHECK_THAT(contents(directory / "model.html"), !Catch::Contains("\"t10k"));
  const std::string verify = command + " --verify";
  outcome = run(directory, verify, "PATH=/nowhere");
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error, Catch::Contains("no reader of the format html; install Node.js"));
  // Arguments of Node.js: -e, the script, --, page, pixels, probabilities, rows, columns.
  trained.fake("node", "echo fake; head -c 72 /dev/zero >\"$6\"");
  outcome = run(directory, verify, "PATH=\"$PWD/bin:$PATH\"");
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error, Catch::Contains("fake computes something else from it"));
}

TEST_CASE("training begins with the network of a file, and refuses what does not fit", "[sanitize]") {
  const ExportedRun trained;
  const TemporaryDirectory& directory = trained.directory;
  REQUIRE(run(directory, "export run --format safetensors --output first").exit_code == 0);
  const std::string train = "train --data data --batch-size 4 --validation-fraction 0 ";
  CHECK(run(directory, train + "--epochs 0 --init first --out again").exit_code == 0);
  REQUIRE(run(directory, "export again --format safetensors --output second").exit_code == 0);
  CHECK(contents(directory / "first") == contents(directory / "second"));
  CHECK(json::parse(contents(directory / "again/config.json")).at("init") ==
        fs::weakly_canonical(directory / "first").string());
  // What was trained further says so.
  CHECK(run(directory, train + "--epochs 1 --init first --out further").exit_code == 0);
  REQUIRE(run(directory, "export further --format safetensors --output third").exit_code == 0);
  CHECK(contents(directory / "third") != contents(directory / "first"));
  const std::string sha256 = json::parse(contents(directory / "further/config.json")).at("init_sha256");
  CHECK(sha256.size() == 64);
  CHECK_THAT(contents(directory / "third"),
             Catch::Contains("\\\"epochs\\\":1,") && Catch::Contains("\\\"init_sha256\\\":\\\"" + sha256));

  // The file wins over another run's settings, and where it lies is not told to others.
  REQUIRE(run(directory, train + "--epochs 0 --hidden 7 --out seven").exit_code == 0);
  CHECK(run(directory, "train --config seven/config.json --init first --out mixed").exit_code == 0);
  CHECK(run(directory, "train --config mixed/config.json --init none --hidden 7 --out none").exit_code == 0);
  CHECK(json::parse(contents(directory / "none/config.json")).count("init_sha256") == 0);
  CHECK_THAT(contents(directory / "third"), !Catch::Contains("\\\"init\\\"") && !Catch::Contains("first"));
  // A run that began with a file can begin again only with the same.
  CHECK(run(directory, "train --config further/config.json --out same").exit_code == 0);
  CHECK(contents(directory / "same/metrics.jsonl") == contents(directory / "further/metrics.jsonl"));
  fs::copy_file(directory / "further/model.pt", directory / "first", fs::copy_options::overwrite_existing);
  check_refused(run(directory, "train --config further/config.json --out never"), 1,
                "is not what the run began with, its SHA-256 is another");
  CHECK(run(directory, "train --config further/config.json --init first --out anew").exit_code == 0);

  fs::create_directory(directory / "turned");
  for (const auto& entry : fs::directory_iterator(directory / "data")) {
    std::string bytes = contents(entry.path());
    if (bytes[3] == 3) std::swap(bytes[11], bytes[15]);
    write_text(directory / "turned" / entry.path().filename(), bytes);
  }
  write_text(directory / "list", "[1]");
  const auto refused = [&](const std::string& flags, int exit_code, const std::string& part) {
    CAPTURE(flags);
    check_refused(run(directory, train + "--out never " + flags), exit_code, part);
    CHECK_FALSE(fs::exists(directory / "never"));
  };
  refused("--init missing", 1, "missing: cannot be read");
  refused("--init first --hidden 5", 1, "holds 12-4-3 + batch norm, but flags and data ask for 12-5-3");
  refused("--init first --batch-norm=false", 1, "ask for 12-4-3; choose");
  refused("--init first --replicas 2", 2, "--replicas: networks that all begin with that of --init");
  refused("--init first --data turned", 1, "takes 4 × 3 images, but those to train on are 3 × 4");
  refused("--init first --config list", 1, "holds no JSON object");
  refused("--init first --data synthetic", 1, "--classes: got 3, but the synthetic digits have 10 classes");
  refused("--init first --data synthetic --classes 10", 1, "but flags and data ask for 784-4-10");
  refused("--init data/train-labels-idx1-ubyte", 1, "is no model file");
}

TEST_CASE("damaged model files get one line on every command that reads them") {
  const ExportedRun trained;
  const TemporaryDirectory& directory = trained.directory;
  REQUIRE(run(directory, "export run --format safetensors").exit_code == 0);
  const std::string good = contents(directory / "model.safetensors");
  const auto [bad, part] = GENERATE_COPY(table<std::string, std::string>({
      {good.substr(0, good.size() - 1), "would lie from"},
      {good.substr(0, 5), "shorter than the eight bytes"},
      {"PK" + good.substr(2), "header would be"},
      {std::string(7, '\xff') + '\x7f' + good.substr(8), "header would be 9223372036854775807 bytes long"},
      {good.substr(0, good.size() - 4) + "\xff\xff\xff\xff", "not finite"},
  }));
  CAPTURE(part);
  write_text(directory / "bad.safetensors", bad);
  for (const char* command :
       {"evaluate bad.safetensors --data data", "evaluate --model bad.safetensors --data data",
        "predict bad.safetensors data/t10k-images-idx3-ubyte", "train --data data --init bad.safetensors",
        "export bad.safetensors --format onnx"}) {
    CAPTURE(command);
    check_refused(run(directory, command), 1, part);
  }
}
