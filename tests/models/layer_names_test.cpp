// Which tensors are which layers: names of every habit are read, and what can be read in two ways is refused.
#include "handgrad/models/layer_names.h"

#include <algorithm>

#include "handgrad/base/errors.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

using Shapes = std::vector<NamedShape>;

void add_linear(Shapes& tensors, const std::string& name, std::int64_t inputs, std::int64_t outputs) {
  tensors.push_back({tensor_name(name, "weight"), {outputs, inputs}});
  tensors.push_back({tensor_name(name, "bias"), {outputs}});
}

void add_batch_norm(Shapes& tensors, const std::string& name, std::int64_t units) {
  for (const char* leaf : {"weight", "bias", "running_mean", "running_var"}) {
    tensors.push_back({tensor_name(name, leaf), {units}});
  }
  tensors.push_back({tensor_name(name, "num_batches_tracked"), {}});
}

// Linear layers of these names and widths, one more than names.
Shapes chain(const std::vector<std::string>& names, const std::vector<std::int64_t>& widths) {
  Shapes tensors;
  for (std::size_t i = 0; i < names.size(); ++i) add_linear(tensors, names[i], widths[i], widths[i + 1]);
  return tensors;
}

// "fc1 fc2+bn2 …"
std::string found(const Shapes& tensors, FileOrder order = FileOrder::of_making) {
  std::string text;
  for (const LayerNames& layer : find_layers("file", tensors, order)) {
    text += (text.empty() ? "" : " ") + layer.linear;
    if (layer.batch_norm) text += '+' + *layer.batch_norm;
  }
  return text;
}

void check_refused(const Shapes& tensors, const std::string& reason, FileOrder order = FileOrder::of_making) {
  CHECK_THROWS_AS(find_layers("file", tensors, order), ModelError);
  CHECK_THROWS_WITH(find_layers("file", tensors, order),
                    Catch::StartsWith("file: ") && Contains(reason) && Contains("; found: ") &&
                        Contains("; expected: of each Linear layer NAME.weight [outputs × inputs]"));
}

}  // namespace

TEST_CASE("layers of every habit of naming are found", "[export]") {
  CHECK(found(chain({"0", "2", "4"}, {6, 5, 4, 3})) == "0 2 4");
  CHECK(found(chain({"1", "3", "5"}, {6, 5, 4, 3})) == "1 3 5");  // behind nn.Flatten
  CHECK(found(chain({"0", "3", "6"}, {6, 5, 4, 3})) == "0 3 6");  // with nn.Dropout
  CHECK(found(chain({"8", "10", "12"}, {5, 5, 5, 3})) == "8 10 12");
  CHECK(found(chain({"fc1", "fc2", "fc3"}, {6, 5, 5, 3})) == "fc1 fc2 fc3");
  CHECK(found(chain({"_orig_mod.module.net.0", "_orig_mod.module.net.2"}, {6, 5, 3})) ==
        "_orig_mod.module.net.0 _orig_mod.module.net.2");
  CHECK(found(chain({"block.0.linear", "block.1.linear", "head"}, {6, 5, 5, 3})) ==
        "block.0.linear block.1.linear head");
  CHECK(found(chain({"input", "hidden1", "hidden2", "output"}, {6, 5, 5, 5, 3})) ==
        "input hidden1 hidden2 output");
  CHECK(found(chain({"encoder", "decoder"}, {6, 5, 3})) == "encoder decoder");
  CHECK(found(chain({""}, {6, 3})).empty());  // nn.Linear alone: "weight" and "bias"
}

TEST_CASE("the order of layers is that of their numbers and shapes, wherever they stand in the file",
          "[export]") {
  for (Shapes tensors : {chain({"fc1", "fc2", "fc10", "fc11"}, {6, 5, 5, 5, 3}),
                         chain({"c", "a", "d", "b"}, {6, 5, 4, 7, 3})}) {
    const std::string expected = found(tensors);
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    CHECK(found(tensors, FileOrder::arbitrary) == expected);
    CHECK(found(tensors, FileOrder::of_making) == expected);
    std::reverse(tensors.begin(), tensors.end());
    CHECK(found(tensors, FileOrder::arbitrary) == expected);
  }
}

TEST_CASE("layers that can be read in two orders are refused", "[export]") {
  check_refused(
      chain({"a", "b", "c"}, {6, 5, 5, 5}),
      "its Linear layers can stand in more than one order: a.weight, b.weight, c.weight, or: a.weight, "
      "c.weight, b.weight");
  // By their numbers fc1, fc2, fc3; but fc1, fc3, fc2 is how they were made.
  const Shapes swapped = chain({"fc1", "fc3", "fc2", "fc4"}, {6, 5, 5, 5, 3});
  check_refused(swapped,
                "fit together by their numbers, fc1.weight, fc2.weight, fc3.weight, fc4.weight, and as "
                "they stand in the file, fc1.weight, fc3.weight, fc2.weight, fc4.weight");
  CHECK(found(swapped, FileOrder::arbitrary) == "fc1 fc2 fc3 fc4");
  check_refused(chain({"fc2", "fc1"}, {6, 5, 3}), "fit together in no order that agrees with their numbers");
  check_refused(chain({"fc1", "fc01"}, {6, 5, 3}), "cannot be told from their names");
  // So many orders that they are not all tried.
  Shapes tensors;
  for (const char first : std::string("abcdefghijkl")) {
    add_linear(tensors, std::string(1, first), 5, 5);
    add_linear(tensors, std::string(2, first), 5, 4);
  }
  check_refused(tensors, "cannot be told from their names");
}

TEST_CASE("batch norm is found for every hidden layer or for none", "[export]") {
  Shapes tensors = chain({"fc1", "fc2", "fc3"}, {6, 5, 5, 3});
  add_batch_norm(tensors, "bn1", 5);
  check_refused(tensors, "has 1 batch norm for 2 hidden layers");
  SECTION("in order") {
    add_batch_norm(tensors, "bn2", 5);
    CHECK(found(tensors) == "fc1+bn1 fc2+bn2 fc3");
    std::reverse(tensors.begin(), tensors.end());
    CHECK(found(tensors, FileOrder::arbitrary) == "fc1+bn1 fc2+bn2 fc3");
    add_batch_norm(tensors, "bn3", 3);
    check_refused(tensors, "has 3 batch norms for 2 hidden layers");
  }
  SECTION("of another width") {
    add_batch_norm(tensors, "bn2", 4);
    check_refused(tensors, "its batch norms fit together in no order");
  }
  SECTION("without numbers") {
    add_batch_norm(tensors, "norm", 5);
    check_refused(tensors, "its batch norms can stand in more than one order: bn1.weight, norm.weight, or:");
  }
  SECTION("told by their widths") {
    Shapes wide = chain({"a", "b", "c"}, {6, 5, 4, 3});
    add_batch_norm(wide, "norm_b", 4);
    add_batch_norm(wide, "norm_a", 5);
    CHECK(found(wide) == "a+norm_a b+norm_b c");
  }
}

TEST_CASE("in an nn.Sequential the numbers tell whether there is a ReLU, and where", "[export]") {
  const auto with_batch_norm = [](const char* first, const char* norm, const char* second) {
    Shapes tensors = chain({first, second}, {6, 5, 3});
    add_batch_norm(tensors, norm, 5);
    return tensors;
  };
  CHECK(found(with_batch_norm("0", "2", "3")) == "0+2 3");
  CHECK(found(with_batch_norm("net.1", "net.3", "net.4")) == "net.1+net.3 net.4");
  CHECK(found(with_batch_norm("0", "3", "4")) == "0+3 4");  // Linear, ReLU, Dropout, BatchNorm1d, Linear
  CHECK(found(with_batch_norm("fc.0", "bn.0", "fc.1")) == "fc.0+bn.0 fc.1");
  const auto place = [&](const char* first, const char* norm, const char* second) {
    const auto told = find_layers("file", with_batch_norm(first, norm, second), FileOrder::of_making);
    CHECK(told.back().batch_norm_place == told.front().batch_norm_place);
    return told.front().batch_norm_place;
  };
  CHECK(place("0", "2", "3") == BatchNormPlace::after);
  CHECK(place("0", "3", "4") == BatchNormPlace::after);
  CHECK(place("net.0", "net.2", "head") == BatchNormPlace::after);
  CHECK(place("fc", "net.2", "net.3") == BatchNormPlace::after);
  CHECK(place("0", "1", "3") == BatchNormPlace::before);
  CHECK(place("0", "1", "4") == BatchNormPlace::before);  // Linear, BatchNorm1d, ReLU, Dropout, Linear
  CHECK(place("net.0", "net.1", "head") == BatchNormPlace::before);
  CHECK(place("fc1", "bn1", "fc2") == std::nullopt);
  CHECK(place("fc.0", "bn.0", "fc.1") == std::nullopt);
  check_refused(with_batch_norm("0", "1", "2"), "between 0.weight and 2.weight there is no room for a ReLU");
  check_refused(with_batch_norm("1", "0", "3"), "between 1.weight and 3.weight there is no room");
  Shapes mixed = chain({"0", "3", "6"}, {6, 5, 4, 3});
  add_batch_norm(mixed, "1", 5);
  add_batch_norm(mixed, "5", 4);
  check_refused(mixed, "batch norm stands after the activation behind 3.weight, and before it in a layer");
  // Linear, ReLU, BatchNorm1d, Dropout, Linear; or Linear, Dropout, BatchNorm1d, ReLU, Linear.
  check_refused(
      with_batch_norm("0", "2", "4"),
      "between 2.weight and 4.weight there is room for the ReLU, and in front of 2.weight there is too");
  check_refused(with_batch_norm("fc", "net.2", "net.4"),
                "there is room for the ReLU, and in front of net.2.weight there may be");
  check_refused(chain({"0", "1"}, {6, 5, 3}), "between 0.weight and 1.weight there is no room for a ReLU");
  check_refused(chain({"layers.0", "layers.1"}, {6, 5, 3}), "there is no room for a ReLU");
}

TEST_CASE("tensors that belong to no such network are refused by name, with all that was found", "[export]") {
  Shapes tensors = chain({"fc1", "fc2"}, {6, 5, 3});
  check_refused({}, "has no Linear layer; found: nothing");
  const auto with = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    Shapes more = tensors;
    more.push_back({name, shape});
    return more;
  };
  check_refused(with("scale", {3}),
                "scale belongs to no Linear layer and no batch norm; found: fc1.weight "
                "[5 × 6], fc1.bias [5], fc2.weight [3 × 5], fc2.bias [3], scale [3]");
  check_refused(with("fc1.weight_g", {5, 1}), "fc1.weight_g belongs to no");
  check_refused(with("fc1.running_mean", {5}), "fc1.running_mean belongs to batch norm, but fc1.weight");
  check_refused(with("num_batches_tracked", {}), "num_batches_tracked is there without weight");
  check_refused(with("fc3.weight", {4, 3}), "fc3.weight is there without fc3.bias");
  check_refused(with("fc3.bias", {4}), "fc3.bias is there without fc3.weight");
  check_refused(with(".weight", {4, 3}), ".weight names no module");
  Shapes odd = tensors;
  odd[0].shape = {5, 6, 1, 1};
  check_refused(odd, "fc1.weight has 4 axes");
  odd[0].shape = {};
  check_refused(odd, "fc1.weight has 0 axes");
  odd[0].shape = {5};
  check_refused(odd, "fc1.weight can only be that of batch norm, but there is no fc1.running_mean");
  odd = tensors;
  odd[1].shape = {6};
  check_refused(odd, "fc1.bias is [6], but fc1.weight needs [5]");
  odd[1].shape = {5, 1};
  check_refused(odd, "fc1.bias is [5 × 1], but fc1.weight needs [5]");
  odd = tensors;
  odd[2].shape = {3, 4};
  check_refused(odd, "its Linear layers fit together in no order");
  Shapes norm;
  add_batch_norm(norm, "bn", 5);
  check_refused(norm, "has no Linear layer");
  norm = tensors;
  add_batch_norm(norm, "bn", 5);
  norm[norm.size() - 2].shape = {4};
  check_refused(norm, "bn.running_var is [4], but bn.weight needs [5]");
}

TEST_CASE("hostile names and numbers of tensors cost little", "[export]") {
  Shapes tensors;
  for (int i = 0; i < 1001; ++i) add_linear(tensors, std::to_string(2 * i), 1, 1);
  check_refused(tensors, "has 1001 layers, more than the 1000");
  CHECK(find_layers("file", {tensors.begin(), tensors.end() - 2}, FileOrder::of_making).size() == 1000);
  tensors.clear();
  for (int i = 0; i < 60000; ++i) tensors.push_back({std::to_string(i) + ".other", {1, 1}});
  check_refused(tensors, "and 59970 more");
  const std::string digits(100000, '9');
  CHECK(find_layers("file", chain({digits + '1', digits}, {1, 1, 1}), FileOrder::arbitrary).front().linear ==
        digits);
  try {
    const std::string name(1000000, 'n');
    find_layers("file", chain({name + 'a', name + 'b'}, {1, 1, 1}), FileOrder::of_making);
    FAIL("was read");
  } catch (const ModelError& error) {
    CHECK(std::string(error.what()).size() < 2000);
  }
}
