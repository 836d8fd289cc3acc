// What classes are called: the files that say it, and their order.
#include "handgrad/data/class_names.h"

#include <algorithm>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

TEST_CASE("labels.txt names a class on each line, whatever system wrote it", "[dataset]") {
  const ClassNames expected = {"T-shirt/top", "Trouser", "\u3042"};
  CHECK(parse_labels("T-shirt/top\nTrouser\n\u3042\n", "f") == expected);
  CHECK(parse_labels("\xef\xbb\xbfT-shirt/top\r\n Trouser\r\n\u3042\n\n\n", "f") == expected);
  CHECK(parse_labels(" \xef\xbb\xbf\tT-shirt/top\nTrouser\n\u3042", "f") == expected);
  CHECK(parse_labels("a\nA", "f") == ClassNames{"a", "A"});
  CHECK(parse_labels("a\xff\nb\x1b[1m", "f") == ClassNames{"a\\xff", "b\\x1b[1m"});
}

TEST_CASE("a labels.txt that leaves a class without a name of its own is refused", "[dataset]") {
  const auto refused = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_labels(text, "f"), DataError);
    CHECK_THROWS_WITH(parse_labels(text, "f"), Catch::StartsWith("f: ") && Contains(part));
  };
  refused("a\n\nb\n", "line 2 is empty; it must name class 1");
  refused("a\nb\na\n", "names the class a twice");
  refused("", "has 0 classes; there must be 2 to 256");
  refused("a\n", "has 1 class; there must be 2 to 256");
  refused("a\n" + std::string(256, 'x'), "line 2 is longer than 255 bytes");
  std::string many;
  for (int i = 0; i < 257; ++i) many += std::to_string(i) + "\n";
  refused(many, "has 257 classes");
}

TEST_CASE("EMNIST's mapping names classes by the codes of their characters", "[dataset]") {
  CHECK(parse_mapping("0 48\n1 65\n2 97\n", 0, "f") == ClassNames{"0", "A", "a"});
  CHECK(parse_mapping("2 66 98\n1 65 97\n", 1, "f") == ClassNames{"A", "B"});
  CHECK(parse_mapping("0 32\n1 233\n", 0, "f") == ClassNames{"U+0020", "U+00E9"});
  const auto refused = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK_THROWS_WITH(parse_mapping(text, 0, "f"), Contains(part));
  };
  refused("0 48\none 65\n", "line 2 is `one 65`; it must be a label and the code");
  refused("0 48\n1\n", "line 2 is `1`");
  refused("0 48\n0 49\n", "line 2 names label 0 again");
  refused("0 48\n2 49\n", "names label 2 but not 1");
  refused("1 65\n2 66\n", "names label 1 but not 0");
}

TEST_CASE("classes that are numbers are in the order of the numbers", "[dataset]") {
  std::vector<std::string> names = {"cat", "10", "B", "9", "007", "7", "00000000000000000000000012", "b"};
  std::sort(names.begin(), names.end(), is_before);
  CHECK(names ==
        std::vector<std::string>{"007", "7", "9", "10", "00000000000000000000000012", "B", "b", "cat"});
}

TEST_CASE("what can be seen of any bytes is UTF-8 without control characters", "[dataset]") {
  CHECK(visible("caf\u00e9 \u6f22 \U0001f600") == "caf\u00e9 \u6f22 \U0001f600");
  CHECK(visible("a\nb\x7f") == "a\\x0ab\\x7f");
  CHECK(visible("\xc2\x9b") == "\\xc2\\x9b");  // a control character of the upper half
  for (const char* wrong :
       {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe6\xbc", "\xff", "\x80"}) {
    CHECK_THAT(visible(wrong), Catch::StartsWith("\\x"));
    CHECK(visible(visible(wrong)) == visible(wrong));
  }
}
