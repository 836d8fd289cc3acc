// Curves over steps: of many seeds as a mean with a band, of one run as it was.
#pragma once

#include <string>
#include <vector>

#include "report/report_blocks.h"
#include "sweep/sweep_directory.h"

namespace handgrad::app {

// Adds rows of a lines block: the mean over the runs, and from the least to the greatest without the lowest
// and highest tenth, as long as half of the runs go on. x is in epochs. `labels`: what else each row says,
// such as its series.
void add_train_curve(Json& rows, const std::vector<const Json*>& runs, double epochs, const Json& labels);
void add_validation_curve(Json& rows, const std::vector<const Json*>& runs, double epochs,
                          const Json& labels);

// What the curves of these rows are, a sentence.
std::string curves_legend(const Json& rows);

// Means of successive values, at most `most` of them.
std::vector<double> thinned(const std::vector<double>& values, std::size_t most);

}  // namespace handgrad::app
