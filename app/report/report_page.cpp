// Builds the page of a report from parts that the linker put into the executable.
#include "report/report_page.h"

#include "handgrad/base/errors.h"
#ifdef HANDGRAD_REPORTS
#include "cli/embed.h"
#endif

#ifdef HANDGRAD_REPORTS

HANDGRAD_EMBED(page_html, HANDGRAD_PAGE_SOURCES "/page.html");
HANDGRAD_EMBED(page_css, HANDGRAD_PAGE "/page.css");
HANDGRAD_EMBED(page_js, HANDGRAD_PAGE "/page.js");
HANDGRAD_EMBED(page_libraries, HANDGRAD_PAGE "/libraries.js");

#endif

namespace handgrad::app {

#ifdef HANDGRAD_REPORTS

namespace {

// The same document without a `<`, which could end the script element that holds it. JSON has `<` only inside
// strings, where the escape means the same.
std::string without_tags(const std::string& json) {
  std::string safe;
  safe.reserve(json.size());
  for (const char letter : json) {
    if (letter == '<') {
      safe += "\\u003c";
    } else {
      safe += letter;
    }
  }
  return safe;
}

// What stands for the mark of this name.
std::string part(std::string_view name, const std::string& json) {
  if (name == "page.css") return std::string(embedded_page_css());
  if (name == "page.js") return std::string(embedded_page_js());
  if (name == "libraries.js") return std::string(embedded_page_libraries());
  if (name == "report-data") return without_tags(json);
  throw Error("the frame of the report holds the unknown mark " + std::string(name));
}

}  // namespace

bool reports_available() {
  return true;
}

std::string report_page(const std::string& json) {
  constexpr std::string_view mark = "@@";
  // Only the frame is searched, so a part may hold whatever it likes.
  std::string_view frame = embedded_page_html();
  std::string page;
  for (;;) {
    const std::size_t begin = frame.find(mark);
    page += frame.substr(0, begin);
    if (begin == std::string_view::npos) return page;
    frame.remove_prefix(begin + mark.size());
    const std::size_t end = frame.find(mark);
    page += part(frame.substr(0, end), json);
    frame.remove_prefix(end + mark.size());
  }
}

#else

bool reports_available() {
  return false;
}

std::string report_page(const std::string& /*json*/) {
  throw Error(
      "this build makes no reports, because npm was missing when it was configured; install npm, configure "
      "again with -D HANDGRAD_REPORTS=ON, and build");
}

#endif

}  // namespace handgrad::app
