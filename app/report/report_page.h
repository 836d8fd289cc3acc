// The page that shows a report: one HTML file that needs no other file and no network.
#pragma once

#include <string>

namespace handgrad::app {

// Whether this build holds the page. The build needs npm to fetch the libraries that draw the charts.
bool reports_available();

// The whole page for one JSON document in UTF-8. Throws Error where reports are not available.
std::string report_page(const std::string& json);

}  // namespace handgrad::app
