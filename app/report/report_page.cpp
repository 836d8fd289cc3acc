// Builds the page of a report from parts that the linker put into the executable.
#include "report/report_page.h"

#include "handgrad/base/errors.h"
#ifdef HANDGRAD_REPORTS
#include "cli/embed.h"
#include "cli/page.h"
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
  return fill_frame(embedded_page_html(), [&](std::string_view name) { return part(name, json); });
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
