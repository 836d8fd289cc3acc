// TorchScript files: what they compute, what is refused.
#include "export.h"

#include "errors.h"
#include "file.h"
#include "temporary_directory.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

void randomise(Network& network) {
  network.parameters.flat.normal_(0, 0.5);
  network.running.flat.uniform_(0.5, 1.5);
}

}  // namespace

TEST_CASE("a TorchScript file computes what the network computes, for each kind of input", "[export]") {
  const bool batch_norm = GENERATE(false, true);
  const auto hidden = GENERATE(std::vector<int64_t>{20, 7}, std::vector<int64_t>{});
  const TemporaryDirectory directory;
  Network network({35, hidden, 3, batch_norm}, 2, at::kFloat);
  randomise(network);
  const auto path = directory.path() / "model.pt";
  save_torchscript(path, network, 1, {7, 5});
  const TorchScriptModel model(path);
  CHECK(model.shape().rows == 7);
  CHECK(model.shape().columns == 5);
  CHECK(model.classes() == 3);

  const Tensor bytes = torch::randint(256, {9, 1, 7, 5}, torch::kByte);
  const Tensor pixels = bytes.flatten(1).to(at::kFloat).div(255);
  Workspace workspace(network, 9, Workspace::Use::evaluation);
  network.forward(workspace, pixels, Workspace::Use::evaluation);
  const Tensor expected = torch::log_softmax(workspace.logits().select(1, 1), -1);
  for (const Tensor& input :
       {bytes, bytes.flatten(1), pixels, pixels.view({9, 1, 7, 5}), pixels.to(at::kDouble)}) {
    CHECK(torch::allclose(model.log_probabilities(input), expected, 1e-5, 1e-5));
  }
  CHECK_THROWS_WITH(model.log_probabilities(bytes.to(at::kLong)),
                    Contains("pixels must be uint8 or floating point"));
}

TEST_CASE("files that are no such model are refused", "[export]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "model.pt";
  CHECK_THROWS_AS(TorchScriptModel(path), FileError);
  write_file(path, "not a model");
  CHECK_THROWS_WITH(TorchScriptModel(path), Contains("not a TorchScript file"));
  write_file(path, "");
  CHECK_THROWS_AS(TorchScriptModel(path), ModelError);
  torch::save(torch::ones({3}), path.string());
  CHECK_THROWS_WITH(TorchScriptModel(path), Contains("not written by handgrad"));
}
