// TorchScript files: what they compute, what is refused.
#include "handgrad/models/torchscript.h"

#include <torch/serialize.h>

#include "handgrad/base/errors.h"
#include "handgrad/data/deskew.h"
#include "handgrad/files/file.h"
#include "handgrad/files/temporary_directory.h"
#include "models/random_model.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

TEST_CASE("a TorchScript file computes what the network computes, for each kind of input", "[export]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const auto hidden = GENERATE(std::vector<std::int64_t>{20, 7}, std::vector<std::int64_t>{});
  const TemporaryDirectory directory;
  Model pair = random_model({35, hidden, 3, batch_norm}, {7, 5}, 2);
  pair.info.deskew = GENERATE(false, true);
  const auto path = directory.path() / "model.pt";
  write_file(path, TorchScriptModel(model_of(*pair.network, 1, pair.info)).serialize());
  const TorchScriptModel model(path);
  CHECK(model.shape().rows == 7);
  CHECK(model.shape().columns == 5);
  CHECK(model.classes() == 3);

  const Tensor bytes = at::randint(256, {9, 1, 7, 5}, at::kByte);
  const Tensor pixels = bytes.flatten(1).to(at::kFloat).div(255);
  const Tensor seen = pair.info.deskew ? deskewed(bytes.flatten(1), {7, 5}).to(at::kFloat).div(255) : pixels;
  Workspace workspace(*pair.network, 9, Use::evaluation);
  pair.network->forward(workspace, seen, Use::evaluation);
  const Tensor expected = at::log_softmax(workspace.logits().select(1, 1), -1);
  for (const Tensor& input :
       {bytes, bytes.flatten(1), pixels, pixels.view({9, 1, 7, 5}), pixels.to(at::kDouble)}) {
    CHECK(at::allclose(model.log_probabilities(input), expected, 1e-5, 1e-5));
    CHECK(at::allclose(model.forward(input), expected.exp(), 1e-5, 1e-6));
  }
  CHECK(at::allclose(probabilities(model.model(), bytes.flatten(1)), expected.exp(), 1e-5, 1e-6));
  CHECK_THROWS_WITH(model.log_probabilities(bytes.to(at::kLong)),
                    Contains("pixels must be uint8 or floating point"));
}

TEST_CASE("an ensemble's TorchScript file gives the mean of its networks' probabilities", "[export]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const TemporaryDirectory directory;
  const Model three = random_model({35, {20, 7}, 4, batch_norm}, {7, 5}, 3);
  const auto path = directory.path() / "model.pt";
  write_file(path, TorchScriptModel(three).serialize());
  const Tensor bytes = at::randint(256, {1003, 35}, at::kByte);
  Tensor mean = at::zeros({1003, 4});
  for (std::int64_t r = 0; r < 3; ++r)
    mean += probabilities(model_of(*three.network, r, three.info), bytes) / 3;
  CHECK(mean.std(0).max().item<float>() > 0.01);  // the networks do tell the images apart
  CHECK(at::allclose(TorchScriptModel(path).log_probabilities(bytes).exp(), mean, 1e-5, 1e-6));
  CHECK(at::allclose(probabilities(three, bytes), mean, 1e-5, 1e-6));
  CHECK_THROWS_WITH(TorchScriptModel(path).model(), Contains("is an ensemble of 3 networks"));
}

TEST_CASE("files that are no such model are refused", "[export]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "model.pt";
  CHECK_THROWS_AS(TorchScriptModel(path), FileError);
  write_file(path, "not a model");
  CHECK_THROWS_WITH(TorchScriptModel(path), Contains("not a TorchScript file"));
  write_file(path, "");
  CHECK_THROWS_AS(TorchScriptModel(path), ModelError);
  torch::save(at::ones({3}), path.string());
  CHECK_THROWS_WITH(TorchScriptModel(path), Contains("not written by handgrad"));
}
