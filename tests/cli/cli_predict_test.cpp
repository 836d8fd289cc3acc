// `handgrad predict` on pictures: what is prepared, shown, read from standard input and refused.
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "data/small_files.h"

using nlohmann::json;

namespace {

// Dark bars side by side on light ground, as PGM.
std::string picture_of_bars(int bars, int side = 100) {
  std::string text = "P5 " + std::to_string(side) + " " + std::to_string(side) + " 255\n";
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const bool ink = y >= 20 && y < 80 && x % 30 >= 10 && x % 30 < 18 && x < 30 * bars;
      text += ink ? '\x20' : '\xf0';
    }
  }
  return text;
}

std::string grey_28(char grey) {
  return "P5 28 28 255\n" + std::string(784, grey);
}

std::string classes_in(const std::string& out) {  // without the name of the file
  return out.substr(out.find('['));
}

}  // namespace

TEST_CASE("predict reads pictures, names on standard input, and several digits", "[sanitize]") {
  const TemporaryDirectory directory;
  REQUIRE(run(directory, "train --data synthetic --hidden 4 --epochs 1 --out run").exit_code == 0);
  write_text(directory / "one.pgm", picture_of_bars(1));
  write_text(directory / "three.pgm", picture_of_bars(3));
  write_text(directory / "dark.pgm", grey_28('\x10'));
  write_text(directory / "light.pgm", grey_28('\xef'));
  write_text(directory / "text.png", "some words that are no picture\n");
  write_text(directory / "names", "one.pgm\n\ndark/../one.pgm");
  write_text(directory / "large.pgm", "P5 8000 5001 255\n");
  write_text(directory / "cut.pgm", picture_of_bars(1).substr(0, 5000));

  SECTION("named, piped, and by names that are piped") {
    const Outcome named = run(directory, "predict run one.pgm");
    REQUIRE(named.exit_code == 0);
    CHECK_THAT(named.out, Catch::StartsWith("one.pgm[0]\t"));
    CHECK(classes_in(run(directory, "predict run - <one.pgm").out) == classes_in(named.out));
    std::filesystem::create_directory(directory / "dark");
    const std::string both = "one.pgm" + classes_in(named.out) + "dark/../one.pgm" + classes_in(named.out);
    CHECK(run(directory, "predict run - <names").out == both);
  }
  SECTION("several digits") {
    check_refused(run(directory, "predict run three.pgm"), 1, "three.pgm: shows 3 digits side by side");
    const Outcome digits = run(directory, "predict run three.pgm --digits --show shown.png");
    CHECK(digits.exit_code == 0);
    CHECK(std::count(digits.out.begin(), digits.out.end(), '\n') == 3);
    const std::string png = contents(directory / "shown.png");
    CHECK(png.substr(16, 8) == std::string("\0\0\0\x54\0\0\0\x1c", 8));  // 84 × 28
    check_refused(run(directory, "predict run one.pgm --show shown.png"), 1, "shown.png is there already");
    // What was shown is what the network saw, which --as-is takes as it is.
    REQUIRE(run(directory, "predict run one.pgm --show one.png").exit_code == 0);
    const json shown = json::parse(run(directory, "predict run one.png --as-is --json").out);
    const json seen = json::parse(run(directory, "predict run one.pgm --json").out);
    CHECK(shown["probabilities"] == seen["probabilities"]);
  }
  SECTION("as it is, and turned round") {
    const json dark = json::parse(run(directory, "predict run dark.pgm --as-is --json").out);
    const json inverted = json::parse(run(directory, "predict run light.pgm --as-is --invert --json").out);
    CHECK(dark["probabilities"] == inverted["probabilities"]);
    check_refused(run(directory, "predict run one.pgm --as-is"), 1, "one.pgm: images of 100 × 100 pixels");
    check_refused(run(directory, "predict run one.pgm --invert"), 2, "--invert: whether one.pgm is dark");
    check_refused(run(directory, "predict run one.pgm --as-is --digits"), 2, "--digits: with --as-is");
  }
  SECTION("the most probable classes") {
    const json best = json::parse(run(directory, "predict run one.pgm --top 3 --json").out);
    REQUIRE(best["top"].size() == 3);
    CHECK(best["top"][0] == best["class"]);
    const std::string line = run(directory, "predict run one.pgm --top 3").out;
    CHECK(std::count(line.begin(), line.end(), '\t') == 6);
    check_refused(run(directory, "predict run one.pgm --top 0"), 2, "--top: got 0; must be");
  }
  SECTION("what cannot be read") {
    check_refused(run(directory, "predict run text.png"), 1,
                  "text.png: is neither a picture nor an IDX file");
    check_refused(run(directory, "predict run dark.pgm"), 1, "dark.pgm: no ink stands out");
    check_refused(run(directory, "predict run large.pgm"), 1, "large.pgm: is 8000 × 5001 pixels");
    check_refused(run(directory, "predict run cut.pgm"), 1, "cut.pgm: the picture cannot be read");
    check_refused(run(directory, "predict run - <text.png"), 1,
                  "some words that are no picture: cannot be read");
  }
}
