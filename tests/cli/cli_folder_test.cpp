// Folders of pictures from training to every export: the names of the classes are seen in each.
#include <leptonica/allheaders.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/program.h"
#include "data/small_files.h"

using nlohmann::json;

namespace {

// What a stranger may call a folder: markup, quotes, what C and this program put other text in place of, no UTF-8.
const std::vector<std::string> folders = {"<img src=x onerror=alert(1)>",
                                          "bl\xff"
                                          "ue",
                                          "green \"@$1#\" ??\\"};
const std::vector<std::string> class_names = {"<img src=x onerror=alert(1)>", "bl\\xffue",
                                              "green \"@$1#\" ??\\"};

// A colour JPEG, 64 wide and 48 high, with a bright bar on a third of its own for each class.
void write_jpeg(const fs::path& path, int bar, int variant) {
  const std::unique_ptr<Pix, void (*)(Pix*)> pix(pixCreate(64, 48, 32), [](Pix* p) { pixDestroy(&p); });
  for (int y = 0; y < 48; ++y) {
    for (int x = 0; x < 64; ++x) {
      const int shade = 20 + (x * 7 + y * 5 + variant * 31) % 40;
      const int light = x * 3 / 64 == bar ? 200 : shade;
      pixSetRGBPixel(pix.get(), x, y, bar == 0 ? light : shade, bar == 1 ? light : shade, light);
    }
  }
  fs::create_directories(path.parent_path());
  REQUIRE(pixWriteJpeg(path.c_str(), pix.get(), 85, 0) == 0);
}

void write_folders(const fs::path& root, int pictures) {
  for (std::size_t c = 0; c < folders.size(); ++c) {
    for (int i = 0; i < pictures; ++i) {
      write_jpeg(root / folders[c] / (std::to_string(i) + ".jpg"), static_cast<int>(c), i);
    }
  }
}

const char* const train =
    "train --data photos --image-size 12x16 --hidden 6 --epochs 20 --optimizer adam --learning-rate 0.02 --batch-size 4 --out run ";

// The program of C that says what the header calls its classes.
const char* const print_names =
    "#include <stdio.h>\n#include \"model.h\"\n"
    "int main(void) { for (int c = 0; c < model_classes; ++c) puts(model_class_names[c]); }\n";

// Exports it, read back by a compiler where it is C, and returns the file.
std::string exported(const TemporaryDirectory& directory, const std::string& format) {
  const std::string command = "export run --format " + format + " --output model.h --force ";
  // The other formats need programs that may not be there; tests/export_test.py has them.
  const bool by_compiler = format.rfind("c-header", 0) == 0;
  const Outcome outcome = run(directory, command + (by_compiler ? "--verify" : ""));
  CAPTURE(format, outcome.error);
  REQUIRE(outcome.exit_code == 0);
  return contents(directory.path() / "model.h");
}

}  // namespace

TEST_CASE("folders of colour pictures are trained on, and the names of their classes travel", "[sanitize]") {
  const TemporaryDirectory directory;
  write_folders(directory.path() / "photos", 10);
  const Outcome trained = run(directory, train);
  CAPTURE(trained.out, trained.error);
  REQUIRE(trained.exit_code == 0);
  CHECK_THAT(trained.out, Catch::Contains("192-6-3") && Catch::Contains("6 test images"));

  SECTION("evaluate, data and predict say them") {
    const json told = json::parse(run(directory, "evaluate run --json").out);
    CHECK(told.at("accuracy") == 1.0);
    CHECK(told.at("class_names") == class_names);
    CHECK_THAT(run(directory, "evaluate run").out, Catch::Contains(" 1 bl\\xffue  "));
    CHECK_THAT(run(directory, "data --data photos").out, Catch::Contains("of class 2 green \"@$1#\" ??\\"));
    write_jpeg(directory.path() / "new.jpg", 1, 77);
    CHECK_THAT(run(directory, "predict run new.jpg").out, Catch::StartsWith("new.jpg[0]\tbl\\xffue\t0."));
    const json predicted = json::parse(run(directory, "predict run new.jpg --json").out);
    CHECK(predicted.at("class") == 1);
    CHECK(predicted.at("name") == class_names[1]);
    check_refused(run(directory, "predict run new.jpg --digits"), 2,
                  "--digits: run was trained on whole pictures");
  }
  SECTION("every format has them, and reading it back keeps them") {
    const std::string listed = json(class_names).dump();
    for (const char* format : {"torchscript", "safetensors", "state-dict", "onnx"}) {
      CAPTURE(format);
      const std::string file = exported(directory, format);
      CHECK_THAT(file, Catch::Contains("class_names") && Catch::Contains("onerror"));
      if (std::string(format) == "onnx" || std::string(format) == "safetensors") continue;
      const json told = json::parse(run(directory, "evaluate model.h --data photos --json").out);
      CHECK(told.at("class_names") == class_names);
      CHECK(told.at("accuracy") == 1.0);
    }
    for (const char* int8 : {"", " --quantise int8"}) {
      exported(directory, std::string("c-header") + int8);
      write_text(directory.path() / "names.c", print_names);
      CHECK(run(directory, "--version",
                "cc -std=c99 -trigraphs -Wall -Wextra -Werror names.c -o names -lm && ./names >names.txt;")
                .exit_code == 0);
      std::string lines;
      for (const std::string& name : class_names) lines += name + "\n";
      CHECK(contents(directory.path() / "names.txt") == lines);
    }
  }
  SECTION("the report has them as text") {
    const Outcome reported = run(directory, "report run");
    if (reported.exit_code != 0) {
      CHECK_THAT(reported.error, Catch::Contains("this build makes no reports"));
      return;
    }
    const std::string page = contents(directory.path() / "run/report.html");
    CHECK_THAT(page, Catch::Contains("bl\\\\xffue"));
    CHECK(page.find("<img src=x") == std::string::npos);
  }
  SECTION("a run goes on only with the pictures that it began with") {
    const std::string resume = "train --resume run --epochs 21";
    write_jpeg(directory.path() / "photos" / folders[1] / "3.jpg", 2, 5);
    check_refused(run(directory, "evaluate run"), 1, "photos: is not the data that the run was trained on");
    check_refused(run(directory, resume), 1, "is not the data that the run was trained on (another SHA-256)");
    write_jpeg(directory.path() / "photos" / folders[1] / "3.jpg", 1, 3);
    CHECK(run(directory, resume).exit_code == 0);
    check_refused(run(directory, resume + " --image-size 28"), 1,
                  "leave --image-size out, or begin another run");
  }
}

TEST_CASE("pictures that cannot be read are named, and left out where that is asked for") {
  const TemporaryDirectory directory;
  write_folders(directory.path() / "photos", 5);
  for (const char* name : {"x1.png", "x2.png", "x3.png", "x4.png"}) {
    write_text(directory.path() / "photos" / folders[2] / name, "these words are no picture");
  }
  check_refused(run(directory, train), 1, "x1.png: is neither a picture nor an IDX file");
  const Outcome trained = run(directory, std::string(train) + "--skip-unreadable");
  CAPTURE(trained.error);
  REQUIRE(trained.exit_code == 0);
  CHECK_THAT(trained.error, Catch::Contains("warning: 4 pictures could not be read and are left out: ") &&
                                Catch::Contains("x3.png: is neither") && Catch::Contains("; and 1 more\n"));
  CHECK(run(directory, "evaluate run").exit_code == 0);

  const std::string files = "predict run '" + ("photos/" + folders[2]) + "'/*";
  CHECK(run(directory, files).exit_code == 1);
  const Outcome predicted = run(directory, files + " missing.png --skip-unreadable");
  CHECK(predicted.exit_code == 0);
  CHECK(std::count(predicted.out.begin(), predicted.out.end(), '\n') == 5);
  CHECK_THAT(predicted.error, Catch::Contains("warning: 5 files could not be read and are left out: "));
  check_refused(run(directory, "predict run missing.png --skip-unreadable"), 1, "missing.png");
}

TEST_CASE("sizes of pictures that are none are refused") {
  const TemporaryDirectory directory;
  for (const char* size : {"0", "4097", "28x", "28x28x28"}) {
    CAPTURE(size);
    check_refused(
        run(directory, std::string("train --data photos --image-size ") + size), 2,
        std::string("--image-size: got ") + size + "; must be auto, or rows and columns from 1 to 4096");
  }
  for (const char* fraction : {"0", "1"}) {
    check_refused(run(directory, std::string("train --data photos --test-fraction ") + fraction), 2,
                  "--test-fraction: got ");
  }
}
