// A network as a page to draw on: one HTML file that runs it in the browser, without a network connection.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "handgrad/models/model.h"
#include "run/labelled_images.h"

namespace handgrad::app {

// Where `handgrad report` looks for it in the directory of a run.
constexpr const char* drawing_page_name = "model.html";

// Test images that the page brings along: of each class the first ones, then those that the network gets
// wrong, first those of which it is surest; as many as there is room for.
struct PageImages {
  Tensor pixels;  // [N,inputs], uint8
  std::vector<std::int64_t> labels;
  std::vector<std::string> names;  // their places in the test set, such as "t10k 4740"
  std::int64_t samples = 0;        // how many of them come first, right or wrong
  std::int64_t all = 0;            // test images
  std::int64_t wrong = 0;          // of all
};

// probabilities [N,C] of the test images.
PageImages choose_page_images(const LabelledImages& images, const Tensor& probabilities);

struct WebPage {
  std::string html;
  std::size_t weight_bytes = 0, image_bytes = 0;  // of it
};

// The page of the only network. Throws ModelError where its numbers leave float32.
WebPage to_web_page(const Model& model, const PageImages& images);

}  // namespace handgrad::app
