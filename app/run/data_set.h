// The data set that a command reads.
#pragma once

#include <string>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/models/model.h"

namespace handgrad::app {

// load_dataset(), and a warning on stderr where pictures were left out.
Dataset open_dataset(const DataRequest& request);

// What a model file says of the data that its network was trained on, deskewed or not.
ModelInfo model_info(const Dataset& dataset, bool deskew);

// "3 pictures could not be read and are left out: …", with the first few; "" where there are none. noun: what they
// are, such as "picture".
std::string skipped_text(const std::vector<std::string>& skipped, const std::string& noun);

}  // namespace handgrad::app
