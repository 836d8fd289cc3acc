// The labelled images that a saved model is measured on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "handgrad/data/dataset.h"
#include "run/saved_model.h"

namespace handgrad::app {

const std::vector<std::string>& set_names();  // "test", "validation", "train"

struct LabelledImages {
  std::string source;  // the directory, or "synthetic"
  Dataset dataset;
  std::vector<std::int64_t> indices;  // of the training files' images first, then of the test files'
  Tensor pixels;                      // [N, rows·columns], uint8
  Tensor labels;                      // [N], int64

  // As Dataset::image_name().
  std::string name(std::int64_t index) const;
};

// What a model was made for.
struct ModelInputs {
  ImageShape shape;
  std::int64_t classes = 0;
  ClassNames class_names;  // none: nobody named them
};

// The images of this set for such a model: of --data, else of the run that it
// comes from, else of MNIST_DIR or data/mnist. Of a model file nobody knows a split: the training files are its
// training images. Throws UsageError, DataError, ModelError.
LabelledImages load_images(const Options& options, const ModelPlace& place, const ModelInputs& model,
                           const std::string& set);

}  // namespace handgrad::app
