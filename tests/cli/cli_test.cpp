// The program as its users meet it: commands, exit codes, messages, files. Free of LibTorch, so that it
// starts fast.
#define CATCH_CONFIG_MAIN
#include "catch.h"

#include <sys/stat.h>
#include <zlib.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "data/small_files.h"

using nlohmann::json;

TEST_CASE("help, version and wrong words") {
  const TemporaryDirectory directory;
  for (const char* arguments :
       {"--help", "train --help", "evaluate --help", "predict --help", "export --help", "doctor --help"}) {
    const Outcome outcome = run(directory, arguments);
    CAPTURE(arguments, outcome.error);
    CHECK(outcome.exit_code == 0);
    CHECK_THAT(outcome.out, Catch::Contains("Usage: handgrad"));
  }
  CHECK_THAT(run(directory, "--version").out, Catch::StartsWith("handgrad 0."));
  CHECK_THAT(run(directory, "train --help").out,
             Catch::Contains("--learning-rate X") && Catch::Contains("[0.009]"));
  check_refused(run(directory, ""), 2, "no command");
  check_refused(run(directory, "trian"), 2, "unknown command trian; did you mean train?");
  check_refused(run(directory, "flower"), 2, "unknown command flower; `handgrad --help` lists");
}

TEST_CASE("wrong flags are refused by name, before anything is read or written") {
  const TemporaryDirectory directory;
  const auto [arguments, part] = GENERATE(table<std::string, std::string>({
      {"--epohcs 3", "unknown flag --epohcs; did you mean --epochs?"},
      {"--epoch=3", "unknown flag --epoch; did you mean --epochs?"},
      {"--batch 3",
       "unknown flag --batch; did you mean --batch-norm or --batch-norm-statistics or --batch-size?"},
      {"--seed-together 3", "unknown flag --seed-together; `handgrad train --help` lists"},
      {"-x", "unknown flag -x; `handgrad train --help` lists"},
      {"extra", "unexpected argument extra"},
      {"--epochs", "--epochs: needs a value; write --epochs N"},
      {"--epochs 3x", "--epochs: got 3x; must be a whole number"},
      {"--epochs -1", "--epochs: got -1"},
      {"--epochs=", "--epochs: got nothing"},
      {"--batch-size 0", "--batch-size: got 0; must be a whole number from 1 to"},
      {"--learning-rate nan", "--learning-rate: got nan; must be a number above 0"},
      {"--learning-rate 0.1x", "--learning-rate: got 0.1x"},
      {"--learning-rate inf", "--learning-rate: got inf"},
      {"--learning-rate 1e999", "--learning-rate: got 1e999"},
      {"--hidden 20,,7", "--hidden: got 20,,7"},
      {"--hidden 20,7,", "--hidden: got 20,7,"},
      {"--hidden 0", "--hidden: got 0"},
      {"--l2 -0.1", "--l2: got -0.1"},
      {"--augment weak", "--augment: got weak; must be one of none, light, medium, strong"},
      {"--rotation 181", "--rotation: got 181; must be auto, or a number from 0 to 180"},
      {"--scale 1.1", "--scale: got 1.1; must be auto, or a number from 0 to 1"},
      {"--shear -0.1", "--shear: got -0.1; must be auto, or a number from 0 to 1"},
      {"--shift nan", "--shift: got nan; must be auto, or a number from 0 to 4096"},
      {"--elastic 11", "--elastic: got 11; must be auto, or a number from 0 to 10"},
      {"--l2 0.1 --weight-decay 0.1", "--weight-decay"},
      {"--optimizer sdg", "must be one of sgd, momentum"},
      {"--split half", "must be one of official, pooled"},
      {"--validation-fraction 1", "--validation-fraction: got 1"},
      {"--evaluate-every 1epoch", "--evaluate-every: got 1epoch"},
      {"--evaluate-every 0", "--evaluate-every: got 0"},
      {"--replicas 0", "--replicas: got 0"},
      {"--seed 1.5", "--seed: got 1.5"},
      {"--classes 1", "--classes: got 1"},
      {"--device tpu", "--device: got tpu; must be auto, cpu, cuda or cuda:INDEX"},
      {"--compat bn-no-bakward --batch-norm", "--compat: got bn-no-bakward"},
      {"--compat bn-no-backward", "needs --batch-norm"},
      {"--activation sigmoid", "--activation: got sigmoid; must be one of relu, leaky-relu, tanh"},
      {"--learning-rate 1e39", "--learning-rate: got 1e39"},
      {"--evaluate-every 4611686018427387904ep", "--evaluate-every: got 4611686018427387904ep"},
      {"--seed 9223372036854775807 --replicas 2", "--seed: got 9223372036854775807"},
      {"--out=", "--out: got nothing"},
      {"--compat bn-no-backward --batch-norm --weight-decay 0.1", "--compat: bn-no-backward keeps"},
      {"--dropout 1", "--dropout: got 1; must be a number of at least 0 and below 1"},
      {"--input-dropout -0.1", "--input-dropout: got -0.1; must be a number of at least 0 and below 1"},
      {"--label-smoothing 1", "--label-smoothing: got 1; must be a number of at least 0 and below 1"},
      {"--shards 0", "--shards: got 0; must be a whole number from 1 to 1024"},
      {"--batch-norm --batch-norm-statistics shard",
       "--batch-norm-statistics: shard needs --batch-norm and --shards 2"},
      {"--shards 2 --batch-norm-statistics shard",
       "--batch-norm-statistics: shard needs --batch-norm and --shards 2"},
      {"--batch-norm --shards 20 --batch-norm-statistics shard",
       "--shards: got 20, but a batch has 32 images; must be at most half of that"},
      {"--shards 33", "--shards: got 33, but a batch has 32 images; must be at most that"},
      {"--clip 0", "--clip: got 0; must be none, or a number above 0"},
      {"--augment-final 0.5",
       "--augment-final: a constant rate leads nowhere; add --schedule cosine or step"},
      {"--ema 1", "--ema: got 1; must be a number of at least 0 and below 1"},
      {"--reestimate-batch-norm", "--reestimate-batch-norm: needs --batch-norm"},
      {"--schedule linear", "--schedule: got linear; must be one of constant, cosine, step"},
      {"--warmup 0", "--warmup: got 0; must be none, or a number of steps"},
      {"--warmup 3ep --epochs 2", "--warmup: got 3ep, but training ends after 2 epochs; must be at most"},
      {"--schedule cosine --final-rate -0.1",
       "--final-rate: got -0.1; must be auto, or a number from 0 to 1"},
      {"--final-rate 0.1", "--final-rate: a constant rate has none; add --schedule cosine or step"},
      {"--monitor error", "--monitor: got error; must be one of loss, accuracy"},
      {"--weight-decay-on biases", "--weight-decay-on: got biases; must be one of all, weights"},
      {"--optimizer adamw --weight-decay-form coupled",
       "coupled decay makes adam of adamw; use --optimizer adam"},
      {"--threads 0", "--threads: got 0; must be auto, or a whole number"},
      {"--threads all", "--threads: got all"},
      {"--batch-size 1 --batch-norm", "--batch-size: got 1; must be at least 2 with batch norm"},
      {"--batch-norm=maybe", "--batch-norm: got maybe; must be after (true), before, or none (false)"},
      {"--batch-norm befor", "--batch-norm: got befor; must stand alone or be one of after, before, none"},
      {"--batch-norm before extra", "unexpected argument extra"},
      {"--batch-norm after --batch-size 1", "--batch-size: got 1; must be at least 2 with batch norm"},
      {"--batch-norm none --compat bn-no-backward", "needs --batch-norm"},
  }));
  CAPTURE(arguments);
  check_refused(run(directory, "train --data synthetic " + arguments), 2, part);
  CHECK(fs::is_empty(directory.path()));
}

TEST_CASE("the flag --batch-norm may have a word behind it, and leaves what is none of its words alone") {
  const TemporaryDirectory directory;
  const auto [flag, value] = GENERATE(table<std::string, std::string>({{"", "false"},
                                                                       {"--batch-norm", "true"},
                                                                       {"--batch-norm after", "true"},
                                                                       {"--batch-norm true=", ""},
                                                                       {"--batch-norm before", "\"before\""},
                                                                       {"--batch-norm=before", "\"before\""},
                                                                       {"--batch-norm none", "false"},
                                                                       {"--batch-norm=false", "false"}}));
  CAPTURE(flag);
  const Outcome trained =
      run(directory, "train --data synthetic --epochs 0 --hidden 4 --out run " + flag + " --seed 2");
  if (value.empty()) return check_refused(trained, 2, "--batch-norm: got true=");
  REQUIRE(trained.exit_code == 0);
  CHECK(nlohmann::json::parse(contents(directory.path() / "run" / "config.json"))["batch_norm"].dump() ==
        value);
  check_refused(run(directory, "sweep " + flag + " sweep.toml"), 1, "sweep.toml");
}

TEST_CASE("data that cannot be used is refused, and no run is begun") {
  const TemporaryDirectory directory;
  const fs::path data = directory.path() / "data";
  fs::create_directory(data);
  write_small_dataset(data);
  const std::string train = "train --data data --epochs 1 --batch-size 4 --out run ";
  const auto refused = [&](const std::string& flags, const std::string& part) {
    check_refused(run(directory, train + flags), 1, part);
    CHECK_FALSE(fs::exists(directory.path() / "run"));
  };
  const fs::path images = data / "train-images-idx3-ubyte";
  const fs::path labels = data / "train-labels-idx1-ubyte";
  const std::string good_images = contents(images);

  check_refused(run(directory, "train --epochs 1"), 2, "--data: not given");
  refused("--shift 99", "--shift: got 99, but the images have ");
  check_refused(run(directory, "train --data missing"), 1, "missing: is not a directory");
  check_refused(run(directory, "train --data missing --batch-norm --batch-size 1"), 2, "--batch-size: got 1");
  SECTION("cut short") {
    write_text(images, good_images.substr(0, good_images.size() - 7));
    refused("", "train-images-idx3-ubyte");
  }
  SECTION("cut short, gzip") {
    const fs::path packed = data / "train-images-idx3-ubyte.gz";
    gzFile file = gzopen(packed.c_str(), "wb");
    gzwrite(file, good_images.data(), static_cast<unsigned>(good_images.size()));
    gzclose(file);
    fs::remove(images);
    CHECK(run(directory, train).exit_code == 0);
    fs::remove_all(directory.path() / "run");
    const std::string bytes = contents(packed);
    write_text(packed, bytes.substr(0, bytes.size() / 2));
    refused("", "train-images-idx3-ubyte.gz");
  }
  SECTION("a web page") {
    fs::remove(images);
    write_text(data / "train-images-idx3-ubyte.gz", "<!DOCTYPE html><html>not found</html>");
    refused("", "web page");
  }
  SECTION("empty") {
    write_text(images, "");
    refused("", "train-images-idx3-ubyte");
  }
  SECTION("wrong magic") {
    write_text(images, std::string("\x01") + good_images.substr(1));
    refused("", "train-images-idx3-ubyte");
  }
  SECTION("negative dimension") {
    write_text(images, good_images.substr(0, 4) + "\xff\xff\xff\xff" + good_images.substr(8));
    refused("", "train-images-idx3-ubyte");
  }
  SECTION("count of labels") {
    write_text(labels, idx({11}, std::string(11, '\1')));
    refused("", "holds 12 images");
  }
  SECTION("label outside the classes") {
    write_text(labels, idx({12}, std::string(11, '\1') + "\x2a"));
    refused("", "--classes: image 11 of data/train-labels-idx1-ubyte has the label 42");
    refused("--classes 42",
            "--classes: got 42, but image 11 of data/train-labels-idx1-ubyte has the label 42; must be");
    CHECK(run(directory, train + "--classes 43").exit_code == 0);
    check_refused(run(directory, "evaluate nothing --classes 43"), 2, "classes");
    CHECK_THAT(run(directory, "doctor --data data").out, Catch::Contains("--classes: image 11"));
    CHECK_THAT(run(directory, "doctor --data data --classes 43").out, Catch::Contains("43 classes"));
    fs::remove_all(directory.path() / "run");
    write_text(labels, idx({12}, std::string(11, '\1') + "\x02"));
    REQUIRE(run(directory, train).exit_code == 0);
    write_text(labels, idx({12}, std::string(11, '\1') + "\x03"));
    check_refused(run(directory, "evaluate run/model.pt --data data"), 1,
                  "run/model.pt: knows 3 classes, but data has others");
  }
  SECTION("labels for images") {
    fs::copy_file(labels, images, fs::copy_options::overwrite_existing);
    refused("", "train-images-idx3-ubyte");
  }
  SECTION("a batch larger than the data") {
    refused("--batch-size 100", "--batch-size: got 100, but the training set has only 10 images");
  }
  SECTION("a batch of one with batch norm") {
    refused("--batch-norm --batch-size 3", "--batch-size: 3 leaves a batch of a single image");
  }
  SECTION("no GPU") {
    const Outcome outcome = run(directory, train + "--device cuda", "CUDA_VISIBLE_DEVICES=");
    check_refused(outcome, 1, "--device: cuda is not there");
  }
}

TEST_CASE("a training that no machine has the memory for is refused before it takes any") {
  const TemporaryDirectory directory;
  check_refused(run(directory, "train --data synthetic --replicas 100000 --hidden 65536,65536"), 1,
                "--replicas: 100000 networks need");
  CHECK_FALSE(fs::exists(directory / "runs"));
}

TEST_CASE("what is no regular file is refused at once, whatever it is given as") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  REQUIRE(run(directory, "train --data . --batch-size 4 --epochs 1 --out run").exit_code == 0);
  REQUIRE(mkfifo((directory / "pipe").c_str(), 0600) == 0);
  for (const char* arguments :
       {"evaluate pipe --data .", "predict pipe t10k-images-idx3-ubyte", "predict run pipe",
        "train --config pipe", "train --data . --init pipe", "sweep pipe --data .",
        "export pipe --format onnx", "evaluate /dev/null --data ."}) {
    CAPTURE(arguments);
    check_refused(run(directory, arguments), 1,
                  "cannot be read: it is a device, pipe or socket; name a regular file");
  }
  fs::rename(directory / "pipe", directory / "t10k-labels-idx1-ubyte");
  check_refused(run(directory, "train --data ."), 1,
                "t10k-labels-idx1-ubyte: cannot be read: it is a device, pipe");
  fs::rename(directory / "t10k-labels-idx1-ubyte", directory / "run/metrics.jsonl");
  write_small_dataset(directory.path());
  check_refused(run(directory, "train --resume run --epochs 2"), 1, "metrics.jsonl: cannot be written");
}

TEST_CASE("where a run cannot go, nothing is changed") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  const std::string train = "train --data . --epochs 2 --batch-size 4 ";
  write_text(directory.path() / "file", "precious");
  check_refused(run(directory, train + "--out file/run"), 1, "--out: cannot make the directory file/run");
  check_refused(run(directory, train + "--out file"), 1, "--out");
  CHECK(contents(directory.path() / "file") == "precious");
  check_refused(run(directory, train + "--out ."), 1, "not part of a run");

  REQUIRE(run(directory, train + "--out run").exit_code == 0);
  const std::string model = contents(directory.path() / "run/model.pt");
  const std::string summary = contents(directory.path() / "run/summary.json");
  check_refused(run(directory, train + "--out run"), 1, "already holds a run");
  check_refused(run(directory, "train --data missing --out run --overwrite"), 1, "missing");
  CHECK(contents(directory.path() / "run/model.pt") == model);
  CHECK(contents(directory.path() / "run/summary.json") == summary);
  write_text(directory.path() / "run/model-notes.pt", "precious");
  check_refused(run(directory, train + "--out run --overwrite"), 1, "model-notes.pt");
  CHECK(contents(directory.path() / "run/model.pt") == model);
  fs::remove(directory.path() / "run/model-notes.pt");
  CHECK(run(directory, train + "--out run --overwrite --seed 2").exit_code == 0);
  CHECK(contents(directory.path() / "run/model.pt") != model);
}

TEST_CASE("a run that is replaced takes its report with it, and no file of the user's own") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  const std::string train = "train --data . --epochs 1 --batch-size 4 --out run --overwrite";
  REQUIRE(run(directory, train).exit_code == 0);
  const fs::path page = directory.path() / "run/report.html";
  const std::string model = contents(directory.path() / "run/model.pt");
  const auto stays = [&](const char* name) {
    check_refused(run(directory, train + " --seed 2"), 1,
                  std::string("--out: run holds ") + name + ", which is not part of a run; move it away");
    CHECK(contents(directory.path() / "run/model.pt") == model);
    CHECK(fs::exists(directory.path() / "run" / name));
    fs::remove(directory.path() / "run" / name);
  };
  write_text(page, "<!doctype html><title>My notes</title>");
  stays("report.html");
  REQUIRE(run(directory, "export run --format safetensors --output run/model.safetensors").exit_code == 0);
  stays("model.safetensors");
  // Another program's config.json makes no run.
  fs::create_directory(directory.path() / "own");
  write_text(directory.path() / "own/config.json", R"({"epochs": 1})");
  check_refused(
      run(directory, "train --data . --batch-size 4 --config own/config.json --out own --overwrite"), 1,
      "--out: own holds config.json, which is not part of a run");
  CHECK(contents(directory.path() / "own/config.json") == R"({"epochs": 1})");
  // Pages of this version and of earlier ones.
  for (const char* mark :
       {R"(<meta name="generator" content="handgrad">)", "<title>Report of handgrad</title>"}) {
    write_text(page, std::string("<!doctype html>\n<head>\n") + mark);
    CHECK(run(directory, train).exit_code == 0);
    CHECK_FALSE(fs::exists(page));
  }
  const Outcome reported = run(directory, "report run");
  if (reported.exit_code != 0) {
    CHECK_THAT(reported.error, Catch::Contains("this build makes no reports"));
    return;
  }
  CHECK_THAT(contents(page), Catch::Contains(R"(<meta name="generator" content="handgrad">)"));
  CHECK(run(directory, "report run").exit_code == 0);
  CHECK(run(directory, train).exit_code == 0);
  CHECK_FALSE(fs::exists(page));
}

TEST_CASE("files that are there are replaced only with --force, and those of runs and sweeps never") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  REQUIRE(run(directory, "train --data . --epochs 1 --batch-size 4 --out run").exit_code == 0);
  write_text(directory.path() / "sweep.toml",
             "[fixed]\nepochs = 1\nbatch_size = 4\n[[experiment]]\nname = \"one\"\nhidden = \"3\"\n");
  REQUIRE(run(directory, "sweep sweep.toml --data . --seeds 1 --out sweep").exit_code == 0);
  write_text(directory.path() / "file", "precious");
  fs::create_symlink("run/config.json", directory.path() / "link");
  const auto kept = [&](const std::string& command, const std::string& file, const std::string& keeper) {
    CAPTURE(command, file);
    check_refused(run(directory, command + file + " --force"), 1,
                  file + " is the place of a file that the " + keeper + " keeps");
  };
  const std::string gradcheck = "gradcheck --hidden 2 --batch-size 2 --json ";
  const std::string export_model = "export run/model.pt --format safetensors --output ";
  for (const std::string& command : {export_model, gradcheck, std::string("report run --out "),
                                     std::string("bench --data synthetic --brief --rounds 1 --json ")}) {
    check_refused(run(directory, command + "file"), 1,
                  ": file is there already; name another file, or give --force");
    kept(command, "run/config.json", "run");
  }
  for (const char* file : {"run/checkpoint.safetensors", "./run/../run/model-1.pt", "link"}) {
    kept(export_model, file, "run");
  }
  for (const char* file : {"sweep/sweep.json", "sweep/results.csv", "sweep/jobs/seed-1-ensemble-0.json",
                           "sweep/models/one.pt"}) {
    kept(export_model, file, "sweep");
  }
  CHECK(contents(directory.path() / "file") == "precious");
  CHECK(run(directory, "evaluate run").exit_code == 0);
  CHECK(run(directory, gradcheck + "file --force").exit_code == 0);
  CHECK(json::parse(contents(directory.path() / "file"))["passed"] == true);
  // Files of these names elsewhere are like any other.
  fs::create_directory(directory.path() / "elsewhere");
  write_text(directory.path() / "elsewhere/config.json", "{}");
  for (const char* name : {"config.json", "model.pt"}) {
    CHECK(run(directory, export_model + "elsewhere/" + name + " --force").exit_code == 0);
  }
}

TEST_CASE("a run: files, their keys, and the same again from its config.json", "[sanitize]") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  const std::string flags =
      "train --data . --batch-size 4 --hidden 6,5 --batch-norm --epochs 60 --patience 60 --replicas 2 --seed "
      "5 ";
  const Outcome first = run(directory, flags);
  CAPTURE(first.out, first.error);
  REQUIRE(first.exit_code == 0);
  const fs::path runs = directory.path() / "runs";
  for (const char* name : {"config.json", "metrics.jsonl", "summary.json", "model.pt", "model-1.pt"}) {
    CHECK(fs::exists(runs / "001" / name));
  }
  const json config = json::parse(contents(runs / "001/config.json"));
  CHECK(config["hidden"] == "6,5");
  CHECK(config["batch_norm"] == true);
  CHECK(config["data_seed"] == 5);
  CHECK(config["learning_rate"] == 0.009);
  const json summary = json::parse(contents(runs / "001/summary.json"));
  CHECK(summary["steps"] == 180);
  CHECK(summary["epochs"] == 60);
  CHECK(summary["stopped"] == "max_epochs");
  CHECK(summary["data_sha256"].get<std::string>().size() == 64);
  CHECK(summary["microseconds_per_step"].get<double>() > 0);
  CHECK(summary["threads"] == 1);
  REQUIRE(summary["replicas"].size() == 2);
  CHECK(summary["replicas"][1]["seed"] == 6);
  for (const char* set : {"train", "validation", "test"}) {
    CHECK(summary["replicas"][0][set]["loss"].is_number());
    CHECK(summary["replicas"][0][set]["accuracy"].is_number());
  }
  std::istringstream lines(contents(runs / "001/metrics.jsonl"));
  std::map<std::string, int> kinds;
  for (std::string line; std::getline(lines, line);) {
    const json record = json::parse(line);
    ++kinds[record["kind"]];
    CHECK(record["step"].is_number_integer());
    CHECK(record["epoch"].is_number_integer());
    CHECK(record[record["kind"] == "train" ? "loss" : "validation_loss"].size() == 2);
  }
  CHECK(kinds["train"] == 2);  // step 100 and the last
  CHECK(kinds["evaluation"] == 60);

  REQUIRE(run(directory, "train --config runs/001/config.json").exit_code == 0);
  CHECK(contents(runs / "002/metrics.jsonl") == contents(runs / "001/metrics.jsonl"));
  REQUIRE(run(directory, "train --config runs/001/config.json --seed 6").exit_code == 0);
  CHECK(contents(runs / "003/metrics.jsonl") != contents(runs / "001/metrics.jsonl"));

  write_text(directory.path() / "typo.json", R"({"epohcs": 3})");
  check_refused(run(directory, "train --data . --config typo.json"), 1,
                "typo.json: has the key epohcs, which is no setting of a run; did you mean epochs?");
  write_text(directory / "recipe.toml",
             "title = \"a recipe\"\nseeds = 2\n[fixed]\nepochs = 1\nhidden = \"4\"\n");
  REQUIRE(run(directory, "train --data synthetic --config recipe.toml --seed 3 --out by-recipe").exit_code ==
          0);
  const json by_recipe = json::parse(contents(directory / "by-recipe/config.json"));
  CHECK(by_recipe["hidden"] == "4");
  CHECK(by_recipe["epochs"] == 1);
  CHECK(by_recipe["seed"] == 3);
  write_text(directory / "typo.toml", "[fixed]\nepohcs = 3\n");
  check_refused(run(directory, "train --data synthetic --config typo.toml"), 1,
                "typo.toml: has the key epohcs, which is no setting of a run; did you mean epochs?");
  write_text(directory.path() / "broken.json", "{");
  check_refused(run(directory, "train --data . --config broken.json"), 1, "broken.json");
}

TEST_CASE("training without early stopping, and from what its config.json says") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  // No validation counts as an improvement, but the first.
  const std::string train = "train --data . --batch-size 4 --epochs 20 --min-delta 100 ";
  const auto steps = [&](const std::string& flags) {
    REQUIRE(run(directory, train + "--out run --overwrite " + flags).exit_code == 0);
    return json::parse(contents(directory / "run/summary.json"))["steps"].get<int>();
  };
  CHECK(steps("--patience 3") == 12);
  CHECK(json::parse(contents(directory / "run/config.json"))["patience"] == 3);
  CHECK(steps("--patience none") == 60);
  CHECK(json::parse(contents(directory / "run/config.json"))["patience"] == "none");
  CHECK(json::parse(contents(directory / "run/summary.json"))["replicas"][0]["best_step"] == 3);

  REQUIRE(run(directory, "train --config run/config.json --epochs 30 --out again").exit_code == 0);
  CHECK(json::parse(contents(directory / "again/summary.json"))["steps"] == 90);
  REQUIRE(run(directory, "train --resume run --epochs 30").exit_code == 0);
  CHECK(contents(directory / "run/model.pt") == contents(directory / "again/model.pt"));
  check_refused(run(directory, "train --resume run --patience 10"), 1,
                "the run has patience \"none\", not 10");
  REQUIRE(run(directory, "export run --format safetensors --output model.safetensors").exit_code == 0);
  CHECK_THAT(contents(directory / "model.safetensors"), Catch::Contains(R"(patience\":\"none\")"));
  check_refused(run(directory, train + "--patience never"), 2,
                "--patience: got never; must be none, or a whole");
}

TEST_CASE("evaluate and predict agree with the run", "[sanitize]") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  REQUIRE(run(directory, "train --data . --batch-size 4 --epochs 5 --replicas 2 --out run").exit_code == 0);
  const json summary = json::parse(contents(directory.path() / "run/summary.json"));
  for (const char* set : {"test", "validation", "train"}) {
    const Outcome outcome = run(directory, std::string("evaluate run --json --replica 1 --set ") + set);
    REQUIRE(outcome.exit_code == 0);
    const json evaluation = json::parse(outcome.out);
    CHECK(evaluation["accuracy"] == summary["replicas"][1][set]["accuracy"]);
    CHECK(evaluation["loss"].get<double>() ==
          Approx(summary["replicas"][1][set]["loss"].get<double>()).epsilon(1e-4));
    CHECK(evaluation["confusion"].size() == 3);
  }
  const Outcome of_file = run(directory, "evaluate run/model-1.pt --data . --json");
  CHECK(json::parse(of_file.out)["accuracy"] == summary["replicas"][1]["test"]["accuracy"]);
  CHECK_THAT(run(directory, "evaluate run").out,
             Catch::Contains("precision") && Catch::Contains("worst mistakes"));

  // Two networks as one: by the means of their probabilities, as the exported ensemble is.
  REQUIRE(run(directory, "export run --format torchscript --replica ensemble --output both.pt").exit_code ==
          0);
  const json as_one = json::parse(run(directory, "evaluate run run/model-1.pt --json --mistakes 0").out);
  const json exported = json::parse(run(directory, "evaluate both.pt --data . --json --mistakes 0").out);
  CHECK(as_one["models"] == json{"run/model.pt", "run/model-1.pt"});
  CHECK(as_one["loss"].get<double>() == Approx(exported["loss"].get<double>()).epsilon(1e-5));
  CHECK(as_one["confusion"] == exported["confusion"]);
  CHECK(as_one["loss"] != json::parse(of_file.out)["loss"]);

  const Outcome predicted = run(directory, "predict run t10k-images-idx3-ubyte");
  CHECK(predicted.exit_code == 0);
  CHECK(std::count(predicted.out.begin(), predicted.out.end(), '\n') == 6);
  CHECK_THAT(predicted.out, Catch::StartsWith("t10k-images-idx3-ubyte[0]\t"));
  const Outcome piped = run(directory, "predict run/model.pt - --json <t10k-images-idx3-ubyte");
  const json line = json::parse(piped.out.substr(0, piped.out.find('\n')));
  CHECK(line["probabilities"].size() == 3);

  check_refused(run(directory, "evaluate"), 2, "name a model");
  check_refused(run(directory, "evaluate run run/model-1.pt --set train"), 2, "several models");
  REQUIRE(run(directory, "train --data . --batch-size 4 --epochs 1 --split pooled --out pooled").exit_code ==
          0);
  check_refused(run(directory, "evaluate run pooled"), 2, "was trained with --split pooled");
  check_refused(run(directory, "evaluate nowhere"), 1, "nowhere");
  check_refused(run(directory, "evaluate run --replica 2"), 1, "model-2.pt");
  check_refused(run(directory, "evaluate run/model.pt --data . --set train"), 2, "--set");
  check_refused(run(directory, "evaluate train-images-idx3-ubyte --data ."), 1, "is no model file");
  check_refused(run(directory, "predict run t10k-labels-idx1-ubyte"), 1, "labels, not images");
  check_refused(run(directory, "predict run missing.png"), 1, "missing.png");
  check_refused(run(directory, "predict run"), 2, "name a model and at least one file");
}

TEST_CASE("an interrupted run is saved and says so in its exit code") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  const auto interrupted = [&](const std::string& signal) {
    // The shell ends the program once the first evaluation is on disk.
    return run(
        directory,
        "train --data . --batch-size 4 --epochs 1000000 --patience 1000000 --out run --overwrite & pid=$!; "
        "for i in $(seq 100); do grep -qs evaluation run/metrics.jsonl && break; sleep 0.1; done; kill -" +
            signal + " $pid; wait $pid");
  };
  CHECK(interrupted("INT").exit_code == 130);
  CHECK(interrupted("TERM").exit_code == 143);
  const json summary = json::parse(contents(directory.path() / "run/summary.json"));
  CHECK(summary["stopped"] == "interrupted");
  CHECK(fs::exists(directory.path() / "run/model.pt"));
}

TEST_CASE("gradcheck proves the gradients, and finds the notebook's fault") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  const Outcome good = run(directory, "gradcheck --batch-norm --replicas 2 --json checks.json");
  CAPTURE(good.out, good.error);
  CHECK(good.exit_code == 0);
  const json report = json::parse(contents(directory.path() / "checks.json"));
  CHECK(report["passed"] == true);
  CHECK(report["checks"].size() > 50);
  CHECK(run(directory, "gradcheck --data . --batch-size 4 --hidden 6,5").exit_code == 0);
  CHECK(run(directory, "gradcheck --dtype float32").exit_code == 0);
  const Outcome faulty = run(directory, "gradcheck --batch-norm --compat bn-no-backward");
  CHECK(faulty.exit_code == 1);
  CHECK_THAT(faulty.out, Catch::Contains("FAILED"));
  CHECK_THAT(faulty.error, Catch::Contains("gradients are wrong") && Catch::Contains("batch norm, layer 1"));
  check_refused(run(directory, "gradcheck --batch-norm --batch-size 1"), 2,
                "--batch-size: got 1; must be at least 2");
}

TEST_CASE("a damaged run is refused", "[sanitize]") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  REQUIRE(run(directory, "train --data . --batch-size 4 --epochs 1 --out run").exit_code == 0);
  const fs::path config = directory.path() / "run/config.json";
  json broken = json::parse(contents(config));
  broken["validation_fraction"] = 5000;
  write_text(config, broken.dump());
  check_refused(run(directory, "evaluate run"), 1, "config.json: is not the configuration of a run");
  broken["validation_fraction"] = 0.2;
  broken["data_seed"] = -1;
  write_text(config, broken.dump());
  check_refused(run(directory, "evaluate run"), 1, "config.json: is not the configuration of a run");
  write_text(config, "{");
  check_refused(run(directory, "evaluate run"), 1, "config.json");
}

TEST_CASE("a run finds its data from anywhere, and only the data that it was trained on") {
  const TemporaryDirectory directory;
  fs::create_directory(directory.path() / "data");
  write_small_dataset(directory.path() / "data");
  REQUIRE(run(directory, "train --data data --batch-size 4 --epochs 1 --out run").exit_code == 0);
  CHECK(run(directory, "evaluate ../run", "mkdir -p deeper && cd deeper &&").exit_code == 0);
  write_text(directory.path() / "data/t10k-labels-idx1-ubyte", idx({6}, std::string(6, '\1')));
  check_refused(run(directory, "evaluate run"), 1, "not the data that the run was trained on");
  CHECK(run(directory, "evaluate run --data data").exit_code == 0);
}

TEST_CASE("output that cannot be written is a failure, progress that cannot be shown is none") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  REQUIRE(run(directory, "train --data . --batch-size 4 --epochs 2 --out run 2>/dev/full").exit_code == 0);
  CHECK(run(directory, "trian 2>/dev/full").exit_code == 2);
  for (const char* redirection : {">/dev/full", ">&-"}) {
    for (const char* command : {"evaluate run", "predict run t10k-images-idx3-ubyte",
                                "gradcheck --batch-norm", "--version", "train --help"}) {
      CAPTURE(command, redirection);
      const Outcome outcome = run(directory, std::string(command) + " " + redirection);
      check_refused(outcome, 1, "standard output cannot be written; is it closed, or the disk full?");
    }
  }
  REQUIRE(run(directory, "train --data . --batch-size 4 --epochs 2 --out closed >&-").exit_code == 0);
  CHECK_THAT(contents(directory.path() / "closed/metrics.jsonl"), Catch::StartsWith("{"));
}

TEST_CASE("training that leaves the finite numbers is a failure that names step and layer", "[sanitize]") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  const Outcome outcome = run(directory, "train --data . --batch-size 4 --epochs 9 --learning-rate 1e30");
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.error,
             Catch::Contains("no longer finite") && Catch::Contains("step 2: the output of layer 2"));
}

TEST_CASE("bench writes the figures that it prints") {
  const TemporaryDirectory directory;
  const Outcome outcome = run(directory, "bench --data synthetic --brief --rounds 1 --json bench.json");
  CAPTURE(outcome.out, outcome.error);
  REQUIRE(outcome.exit_code == 0);
  const json figures = json::parse(contents(directory.path() / "bench.json"));
  const json& batch_32 = figures["batch_32"];
  for (const char* key : {"step_us", "step_alone_us", "autograd_us", "products_us", "floor_us"}) {
    CAPTURE(key);
    CHECK(batch_32[key].get<double>() > 0);
  }
  for (const char* replicas : {"4", "16", "64"}) CHECK(batch_32["replica_us"][replicas].get<double>() > 0);
  CHECK(batch_32["floor_us"].get<double>() < batch_32["autograd_us"].get<double>());
  CHECK_THAT(outcome.out, Catch::Contains("784-20-7-5-10, batch 32: 2.05 MFLOP a step") &&
                              Catch::Contains("each of 64 networks") && Catch::Contains("autograd"));

  check_refused(run(directory, "bench --rounds 0"), 2, "--rounds: got 0");
  check_refused(run(directory, "bench --brief --scaling"), 2, "--brief");
  check_refused(run(directory, "bench --json ."), 2, "--json: got .");
  write_small_dataset(directory.path());
  check_refused(run(directory, "bench --data ."), 1, "training images, but bench needs 128");
  check_refused(run(directory, "bench --json nowhere/bench.json"), 2, "--json: got nowhere/bench.json");
}

TEST_CASE("data tells what a data set holds, and shows its images as training changes them") {
  const TemporaryDirectory directory;
  const Outcome told = run(directory, "data --data synthetic");
  CHECK(told.exit_code == 0);
  CHECK_THAT(told.out, Catch::Contains("images of 28 × 28 pixels in 10 classes") &&
                           Catch::Contains("20000      4000") && Catch::Contains("of class 9") &&
                           Catch::Contains("mean pixel"));
  const Outcome shown = run(directory, "data --data synthetic --augment strong --show digits.png");
  CHECK(shown.exit_code == 0);
  const std::string picture = contents(directory.path() / "digits.png");
  CHECK(picture.substr(1, 3) == "PNG");
  const Outcome again = run(directory, "data --data synthetic --augment strong --show digits.png --force");
  CHECK(again.exit_code == 0);
  CHECK(contents(directory.path() / "digits.png") == picture);
  check_refused(run(directory, "data --data synthetic --augment strong --show digits.png"), 1,
                "--show: digits.png is there already");
  check_refused(run(directory, "data --data synthetic --show x.png"), 2, "--show: without augmentation");
  check_refused(run(directory, "data --data synthetic --elastic 1"), 2, "--augment: only the picture");
  check_refused(run(directory, "data --data synthetic --deskew"), 2, "--deskew: only the picture");
  check_refused(run(directory, "data --data synthetic --shift 28 --show x.png"), 1,
                "--shift: got 28, but the images have 28 × 28 pixels; must be at least 0 and below 28");
  check_refused(run(directory, "data --data synthetic --augment weak --show x.png"), 2,
                "--augment: got weak");
  check_refused(run(directory, "data --data missing"), 1, "missing: is not a directory");
  CHECK_FALSE(fs::exists(directory.path() / "x.png"));
}

TEST_CASE("doctor tells what the program runs on", "[sanitize]") {
  const TemporaryDirectory directory;
  write_small_dataset(directory.path());
  const Outcome outcome = run(directory, "doctor --data .");
  CAPTURE(outcome.error);
  CHECK_THAT(outcome.out,
             Catch::Contains("LibTorch") && Catch::Contains("GFLOP/s") && Catch::Contains("12 + 6 images"));
  CHECK_THAT(run(directory, "doctor").out, Catch::Contains("scripts/fetch_data.sh"));
}
