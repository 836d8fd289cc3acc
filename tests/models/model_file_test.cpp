// Model files: what is written is read back to the bit, and what is damaged or hostile is refused.
#include "handgrad/models/model_file.h"

#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>
#include <torch/serialize.h>
#include <zlib.h>

#include <random>
#include <set>

#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/files/little_endian.h"
#include "handgrad/files/temporary_directory.h"
#include "handgrad/files/zip.h"
#include "handgrad/models/c_header.h"
#include "handgrad/models/pickle.h"
#include "handgrad/models/safetensors.h"
#include "handgrad/models/state_dict.h"
#include "handgrad/train/metrics.h"
#include "models/random_model.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

void check_same(const Model& actual, const Model& expected) {
  const NamedTensors a = tensors_of(actual);
  const NamedTensors b = tensors_of(expected);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i].first);
    CHECK(a[i].first == b[i].first);
    CHECK(at::equal(a[i].second, b[i].second));
  }
  CHECK(metadata_of(actual) == metadata_of(expected));
}

std::string with_length(const std::string& header, std::uint64_t length, const std::string& data) {
  return to_little_endian(length, 8) + header + data;
}

std::string safetensors(const std::string& header, const std::string& data) {
  return with_length(header, header.size(), data);
}

std::map<std::string, Tensor> as_map(const NamedTensors& tensors) {
  return {tensors.begin(), tensors.end()};
}

Model model_from(const std::map<std::string, Tensor>& tensors) {
  return model_from_tensors("file", {tensors.begin(), tensors.end()}, FileOrder::arbitrary);
}

// A file with one byte, or a run of bytes, set to anything, or cut short.
std::string damaged(std::string file, std::mt19937& random) {
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  switch (below(4)) {
    case 0:
      file.resize(below(file.size()));
      break;
    case 1:
      file.insert(below(file.size()), 1 + below(8), static_cast<char>(below(256)));
      break;
    default:
      for (std::size_t i = 0, count = 1 + below(4); i < count; ++i) {
        file[below(file.size())] = static_cast<char>(below(256));
      }
  }
  return file;
}

// Runs `parse` on `count` copies of a good file, damaged in their first `length` bytes: each is read or
// refused, and nothing else happens. Most are refused, for as many reasons as `reasons` at least.
template <typename Parse>
void check_damaged(const std::string& good, std::size_t length, int count, std::size_t reasons,
                   const Parse& parse) {
  REQUIRE_NOTHROW(parse(good));
  std::mt19937 random(7);  // NOLINT: the same every time
  int refused = 0;
  std::set<std::string> messages;
  for (int i = 0; i < count; ++i) {
    const std::string file = damaged(good.substr(0, length), random) + good.substr(length);
    try {
      parse(file);
    } catch (const ModelError& error) {
      ++refused;
      std::string message = error.what();
      message.erase(std::remove_if(message.begin(), message.end(),
                                   [](unsigned char c) { return std::isalpha(c) == 0; }),
                    message.end());
      messages.insert(message.substr(0, 60));
    }
  }
  CAPTURE(refused, messages.size());
  CHECK(refused > count / 10);
  CHECK(refused < count);
  CHECK(messages.size() >= reasons);
}

}  // namespace

TEST_CASE("the activation of a model is what its metadata say, ReLU where they say nothing", "[export]") {
  const auto activation = GENERATE(Activation::relu, Activation::leaky_relu, Activation::tanh);
  Network network({12, {5}, 3, BatchNormPlace::after, activation}, 1, at::kFloat);
  network.initialise({1});
  const Model model = model_of(network, 0, {{3, 4}, "", std::nullopt, false});
  const Metadata metadata = metadata_of(model);
  CHECK(metadata.count("activation") == (activation == Activation::relu ? 0 : 1));
  const Model again = model_from_tensors("file", tensors_of(model), FileOrder::of_making, metadata);
  CHECK(again.network->architecture().activation == activation);
  CHECK_THROWS_WITH(
      model_from_tensors("file", tensors_of(model), FileOrder::of_making, {{"activation", "sigmoid"}}),
      "file: its metadata has the activation sigmoid; known are relu, leaky-relu, tanh");
}

TEST_CASE("where batch norm stands is told by numbers, else by the metadata, else it is after", "[export]") {
  const auto place = GENERATE(BatchNormPlace::after, BatchNormPlace::before);
  const BatchNormPlace other =
      place == BatchNormPlace::after ? BatchNormPlace::before : BatchNormPlace::after;
  const Model model = random_model({12, {5}, 3, place}, {3, 4});
  const Metadata metadata = metadata_of(model);
  CHECK(metadata.count("batch_norm") == (place == BatchNormPlace::after ? 0 : 1));
  const NamedTensors numbered = tensors_of(model);
  const auto place_in = [](const NamedTensors& tensors, const Metadata& said) {
    return model_from_tensors("file", tensors, FileOrder::of_making, said).network->architecture().batch_norm;
  };
  CHECK(place_in(numbered, metadata) == place);
  CHECK(place_in(numbered, {}) == place);
  CHECK_THROWS_WITH(place_in(numbered, {{"batch_norm", name_of(other)}}),
                    fmt::format("file: its metadata has batch norm {}, but by the numbers in its names it "
                                "stands {} the activation",
                                name_of(other), name_of(place)));
  NamedTensors named;
  const std::map<std::string, std::string> names = {
      {"0", "fc1"}, {place == BatchNormPlace::after ? "2" : "1", "bn1"}, {"3", "fc2"}};
  for (const auto& [name, tensor] : numbered) {
    named.emplace_back(names.at(name.substr(0, 1)) + name.substr(1), tensor);
  }
  CHECK(place_in(named, {}) == BatchNormPlace::after);
  CHECK(place_in(named, {{"batch_norm", name_of(place)}}) == place);
  CHECK_THROWS_WITH(place_in(named, {{"batch_norm", "beside"}}),
                    "file: its metadata has batch norm beside; known are after and before");
}

TEST_CASE("every readable format gives back the same tensors and metadata", "[export]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const auto hidden = GENERATE(std::vector<std::int64_t>{9, 4}, std::vector<std::int64_t>{});
  const TemporaryDirectory directory;
  const Model model = random_model({35, hidden, 3, batch_norm}, {7, 5});
  const auto path = directory.path() / "model";
  for (const std::string& file :
       {to_safetensors(model), to_state_dict(model), TorchScriptModel(model).serialize()}) {
    write_file(path, file);
    check_same(load_model(path), model);
    const Tensor bytes = at::randint(256, {9, 35}, at::kByte);
    CHECK(at::allclose(load_classifier(path).log_probabilities(bytes).exp(), probabilities(model, bytes),
                       1e-5, 1e-6));
  }
}

TEST_CASE("what is not known of a model is not claimed", "[export]") {
  const TemporaryDirectory directory;
  Model model = random_model({35, {4}, 3, BatchNormPlace::none}, {7, 5});
  model.info = {{1, 35}, "", std::nullopt, false};
  const Metadata metadata = metadata_of(model);
  CHECK(metadata.count("training_config") + metadata.count("test_accuracy") +
            metadata.count("batch_norm_folded") ==
        0);
  const auto path = directory.path() / "model";
  write_file(path, TorchScriptModel(model).serialize());
  check_same(load_model(path), model);
  // A flat vector is any image with as many pixels.
  CHECK(model.info.shape.takes({7, 5}));
  CHECK_FALSE(model.info.shape.takes({7, 6}));
  CHECK_FALSE(ImageShape{7, 5}.takes({5, 7}));
}

TEST_CASE("batch norm folds into the layer that its output or its input is of", "[export]") {
  const auto place = GENERATE(BatchNormPlace::after, BatchNormPlace::before);
  const auto hidden = GENERATE(std::vector<std::int64_t>{9, 4, 6}, std::vector<std::int64_t>{5});
  const Model model = random_model({35, hidden, 3, place}, {7, 5}, 2);
  const Model folded = fold_batch_norm(model);
  CHECK(folded.network->architecture().batch_norm == BatchNormPlace::none);
  CHECK(folded.info.batch_norm_folded);
  const Tensor bytes = at::randint(256, {50, 35}, at::kByte);
  CHECK((probabilities(folded, bytes) - probabilities(model, bytes)).abs().max().item<float>() < 5e-6);
  // Without the fold it is another function.
  Model unfolded = random_model({35, hidden, 3, BatchNormPlace::none}, {7, 5}, 2);
  for (std::size_t l = 0; l < hidden.size() + 1; ++l) {
    unfolded.network->parameters.weight[l].copy_(model.network->parameters.weight[l]);
    unfolded.network->parameters.bias[l].copy_(model.network->parameters.bias[l]);
  }
  CHECK((probabilities(unfolded, bytes) - probabilities(model, bytes)).abs().max().item<float>() > 1e-2);
}

TEST_CASE("numbers that leave float32 are refused where they arise", "[export]") {
  const Model model = random_model({4, {2}, 2, BatchNormPlace::after}, {2, 2});
  model.network->parameters.gamma[0].fill_(3e38F);
  model.network->running.var[0].fill_(0);
  CHECK_THROWS_AS(fold_batch_norm(model), ModelError);
  CHECK_THROWS_AS(to_c_header(model, "p"), ModelError);
}

TEST_CASE("two files agree only within rounding, and NaN never does", "[export]") {
  const Tensor expected = at::tensor({0.5, 0.3, 0.2, 0.40001, 0.4, 0.19999}).view({2, 3});
  const auto after = [&](std::int64_t row, std::int64_t column, double change) {
    Tensor actual = expected.clone();
    actual[row][column] += change;
    return compare(expected, actual);
  };
  CHECK(agrees(compare(expected, expected)));
  CHECK(agrees(after(0, 1, 9e-6)));
  CHECK_FALSE(agrees(after(0, 1, 1.2e-5)));
  CHECK_FALSE(agrees(after(0, 1, std::nan(""))));
  CHECK_FALSE(agrees(after(0, 0, std::nan(""))));  // which leaves the class as it is
  // The second image's two best are closer than a tie may be.
  const Agreement tie = after(1, 1, 1.1e-5 - 1e-6 + 1e-7);
  CHECK(tie.changed == 1);
  CHECK(tie.decided == 0);
  const Agreement clear = after(0, 1, 0.3);
  CHECK(clear.changed == 1);
  CHECK(clear.decided == 1);
  CHECK(clear.largest_difference == Approx(0.3));
  CHECK(clear.mean_difference == Approx(0.05));
  CHECK_FALSE(agrees({0, 0, 1, 1}));
}

TEST_CASE("a network is read from its tensors, whatever their names and types, and from no others",
          "[export]") {
  const NamedTensors plain = tensors_of(random_model({6, {5, 4}, 3, BatchNormPlace::none}, {2, 3}));
  const NamedTensors normal = tensors_of(random_model({6, {5, 4}, 3, BatchNormPlace::after}, {2, 3}));
  const auto refused = [](const std::map<std::string, Tensor>& tensors, const std::string& part) {
    CHECK_THROWS_AS(model_from(tensors), ModelError);
    CHECK_THROWS_WITH(model_from(tensors), Contains(part) && Catch::StartsWith("file: "));
  };
  const auto renamed = [](const NamedTensors& tensors, std::map<std::string, std::string> names) {
    std::map<std::string, Tensor> result;
    for (const auto& [name, tensor] : tensors) {
      const std::size_t dot = name.find('.');
      result[names.at(name.substr(0, dot)) + name.substr(dot)] = tensor;
    }
    return result;
  };
  auto tensors = as_map(plain);
  SECTION("as they are, in other types, with a counter that changes nothing") {
    CHECK(model_from(tensors).network->architecture().description() == "6-5-4-3");
    for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kDouble);
    CHECK(at::equal(tensors_of(model_from(tensors))[0].second, plain[0].second));
    tensors = as_map(normal);
    tensors["2.num_batches_tracked"] = at::tensor(7);
    CHECK(model_from(tensors).network->architecture().batch_norm == BatchNormPlace::after);
  }
  SECTION("under other names") {
    const Model of_plain = model_from(renamed(plain, {{"0", "net.z"}, {"2", "net.y"}, {"4", "net.x"}}));
    const Model of_normal =
        model_from(renamed(normal, {{"0", "fc1"}, {"2", "bn1"}, {"3", "fc2"}, {"5", "bn2"}, {"6", "fc3"}}));
    for (const auto& [model, expected] : {std::pair{&of_plain, &plain}, {&of_normal, &normal}}) {
      const NamedTensors actual = tensors_of(*model);
      REQUIRE(actual.size() == expected->size());
      for (std::size_t i = 0; i < actual.size(); ++i) {
        CAPTURE(actual[i].first);
        CHECK(actual[i].first == (*expected)[i].first);
        CHECK(at::equal(actual[i].second, (*expected)[i].second));
      }
    }
  }
  SECTION("nothing") {
    refused({}, "has no Linear layer");
  }
  SECTION("one missing") {
    tensors.erase("2.bias");
    refused(tensors,
            "2.weight is there without 2.bias; found: 0.bias [5], 0.weight [5 × 6], 2.weight [4 × 5]");
  }
  SECTION("one too many, of numbers that are none") {
    tensors["scale"] = at::ones({3}, at::kBool);
    refused(tensors, "scale belongs to no Linear layer");
  }
  SECTION("too wide") {
    refused({{"0.weight", at::ones({70000, 1})}, {"0.bias", at::ones({70000})}}, "layer 1 has 70000 units");
  }
  SECTION("no outputs") {
    refused({{"0.weight", at::ones({0, 1})}, {"0.bias", at::ones({0})}}, "layer 1 has 0 units");
  }
  SECTION("not a number, and not one in float32") {
    tensors["2.weight"] = tensors["2.weight"].clone();
    tensors["2.weight"][3][1] = std::nan("");
    refused(tensors, "2.weight holds a number that is not finite");
    tensors["2.weight"] = at::full({4, 5}, 1e300, at::kDouble);
    refused(tensors, "2.weight holds a number that is not finite");
  }
  SECTION("a negative variance") {
    auto negative = as_map(normal);
    negative["5.running_var"] = at::full({4}, -1.0);
    refused(negative, "5.running_var holds a negative variance");
  }
  SECTION("whole numbers") {
    tensors["2.weight"] = at::ones({4, 5}, at::kLong);
    refused(tensors, "2.weight holds no floating-point numbers");
  }
}

TEST_CASE("metadata that contradicts the network is refused", "[export]") {
  CHECK(info_from("file", {}, 35, 3).shape.columns == 35);
  CHECK(info_from("file", {{"rows", "7"}, {"columns", "5"}, {"test_accuracy", "0.5"}}, 35, 3).test_accuracy ==
        0.5);
  for (const Metadata& metadata :
       {Metadata{{"rows", "7"}, {"columns", "6"}}, Metadata{{"rows", "-7"}, {"columns", "-5"}},
        Metadata{{"rows", "9223372036854775807"}, {"columns", "35"}}, Metadata{{"rows", "7x"}},
        Metadata{{"test_accuracy", "1.5"}}, Metadata{{"test_accuracy", "nan"}}}) {
    CHECK_THROWS_AS(info_from("file", metadata, 35, 3), ModelError);
  }
}

TEST_CASE("safetensors: damaged and hostile files are refused", "[export]") {
  const std::string four = std::string(16, '\0');
  const auto entry = [](const std::string& shape, const std::string& offsets,
                        const std::string& dtype = "F32") {
    return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  REQUIRE(parse_safetensors(safetensors(entry("[2,2]", "[0,16]"), four), "file").tensors.size() == 1);
  REQUIRE(parse_safetensors(safetensors(R"({"__metadata__":{"a":"b"}})", ""), "file").metadata.at("a") ==
          "b");
  const auto [file, part] = GENERATE_COPY(table<std::string, std::string>({
      {"", "shorter than the eight bytes"},
      {"1234567", "shorter than the eight bytes"},
      {with_length("{}", 3, ""), "header would be 3 bytes long, but 2 follow"},
      {with_length("{}", ~std::uint64_t{0}, ""), "header would be 18446744073709551615 bytes"},
      {with_length("{}", std::uint64_t{1} << 40, ""), "header would be"},
      {safetensors("[]", ""), "no JSON object"},
      {safetensors("{", ""), "no JSON object"},
      {safetensors("\xff\xff", ""), "no JSON object"},
      {safetensors(std::string(100000, '['), ""), "no JSON object"},
      {safetensors(R"({"a":1,"a":2})", ""), "the name a twice"},
      {safetensors(R"({"__metadata__":[]})", ""), "metadata is no JSON object"},
      {safetensors(R"({"__metadata__":{"a":1}})", ""), "metadata a is no text"},
      {safetensors(R"({"w":1})", ""), "w is not described"},
      {safetensors(R"({"w":{"dtype":"F32","shape":[4]}})", four), "w is not described"},
      {safetensors(entry("4", "[0,16]"), four), "w is not described"},
      {safetensors(entry("[4]", "[0]"), four), "w is not described"},
      {safetensors(entry("[4]", "[0,16]", "F33"), four), "unknown type F33"},
      {safetensors(entry("[-4]", "[0,16]"), four), "no whole number"},
      {safetensors(entry("[4.0]", "[0,16]"), four), "no whole number"},
      {safetensors(entry("[1e3]", "[0,16]"), four), "no whole number"},
      {safetensors(entry("[18446744073709551615]", "[0,16]"), four), "no whole number"},
      {safetensors(entry("[4294967296,4294967296]", "[0,0]"), ""), "not what its shape needs"},
      {safetensors(entry("[4611686018427387904]", "[0,0]"), ""), "not what its shape needs"},
      {safetensors(entry("[3]", "[0,16]"), four), "not what its shape needs"},
      {safetensors(entry("[4]", "[0,17]"), four), "but 16 are there"},
      {safetensors(entry("[4]", "[16,0]"), four), "would lie from 16 to 0"},
      {safetensors(entry("[4]", "[9223372036854775792,9223372036854775807]"), four), "would lie from"},
      {safetensors(entry("[3]", "[4,16]"), four), "begin at 4, but those before end at 0"},
      {safetensors(entry("[3]", "[0,12]"), four), "12 bytes belong to tensors, but 16 are there"},
      {safetensors(R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                   R"("w":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}})",
                   four),
       "the bytes of w begin at 4, but those before end at 8"},
  }));
  CAPTURE(part);
  CHECK_THROWS_AS(parse_safetensors(file, "file"), ModelError);
  CHECK_THROWS_WITH(parse_safetensors(file, "file"), Contains(part) && Catch::StartsWith("file: "));
}

TEST_CASE("safetensors: every mixture of types can be written and read", "[export]") {
  const std::string bytes(24, '\x01');
  const std::string_view view = bytes;
  const Safetensors contents = {{{"key", "value \"with\" quotes"}},
                                {{"a", "U8", {3}, view.substr(0, 3)},
                                 {"b", "F64", {}, view.substr(0, 8)},
                                 {"c", "F32", {2, 3}, view},
                                 {"d", "F32", {0, 3}, view.substr(0, 0)}}};
  const std::string file = serialize_safetensors(contents);
  const Safetensors again = parse_safetensors(file, "file");
  CHECK(again.metadata == contents.metadata);
  REQUIRE(again.tensors.size() == 4);
  for (const StoredTensor& tensor : again.tensors) {
    const auto place = static_cast<std::size_t>(tensor.bytes.data() - file.data());
    if (tensor.dtype == "F64") CHECK(place % 8 == 0);
    if (tensor.dtype == "F32") CHECK(place % 4 == 0);
  }
  CHECK_THROWS_AS(serialize_safetensors({{}, {{"a", "F32", {3}, view.substr(0, 11)}}}), ModelError);
}

TEST_CASE("pickles: only a dict of tensors is read, and nothing is called", "[export]") {
  const std::string begin = "\x80\x02";
  const auto text = [](const std::string& value) { return "X" + to_little_endian(value.size(), 4) + value; };
  const std::string storage =
      "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x06tQ";
  const std::string hooks = "ccollections\nOrderedDict\n)R";
  const auto tensor = [&](const std::string& offset, const std::string& shape, const std::string& stride) {
    return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + stride + "\x89" + hooks + "tR";
  };
  const auto dict = [&](const std::string& value) { return begin + "}(" + text("0.bias") + value + "u."; };
  const std::string six = tensor(std::string("K\0", 2), "K\x06\x85", "K\x01\x85");
  // A key, unless it is empty, and a dict with a tensor called weight.
  const auto weights = [&](const std::string& key) {
    return (key.empty() ? "" : text(key)) + "}(" + text("x.weight") + six + "u";
  };
  const auto good = unpickle_tensors(dict(six), "file");
  REQUIRE(good.size() == 1);
  CHECK(good[0].name == "0.bias");
  CHECK(good[0].shape == std::vector<std::int64_t>{6});

  const std::string zero("K\0", 2);
  const auto [pickle, part] = GENERATE_COPY(table<std::string, std::string>({
      {"", "ends too early"},
      {begin, "ends too early"},
      {begin + ".", "too little on the stack"},
      {begin + "N.", "no dict"},
      {begin + "]N.", "no dict"},
      {begin + "(.", "too little on the stack"},
      {begin + "t.", "no mark"},
      {begin + "h\x05.", "was not made"},
      {std::string("\x80\x01}.", 4), "protocol 1"},
      {begin + "X\xff\xff\xff\xff" + "abc.", "ends too early"},
      {begin + "\x8a\x09" + "123456789.", "more than 64 bits"},
      {begin + "cos\nsystem\n" + text("touch hostile") + "\x85R.", "it names os.system"},
      {begin + "cbuiltins\neval\n" + text("1") + "\x85R.", "it names builtins.eval"},
      {begin + "ctorch.hub\nStorage\n.", "it names torch.hub.Storage"},
      {begin + "ctorch\nload\n.", "it names torch.load"},
      {begin + "\x8c\x02os\x8c\x06system\x93.", "operation 0x8c"},
      {begin + "ctorch\nFloatStorage\n)R.", "it calls FloatStorage"},
      {begin + "N)R.", "calls what is no function"},
      {begin + "}(K\x01Nu.", "found: 1 [no tensor]; save with"},
      {begin + "}(K\x01" + six + "u.", "a key of the dict is no text"},
      {begin + "}(" + text(std::string(129, 'n')) + six + "u.",
       "a key of the dict is no text, or a very long one"},
      {dict("N"), "found: 0.bias [no tensor]; save with"},
      {dict("}"), "found: nothing; save with"},
      {dict(storage), "found: 0.bias [no tensor]"},
      {begin + "}(" + text("a") + six + text("b") + "K\x07" + "u.", "found: a [6], b [no tensor]; save with"},
      {begin + "}(" + text("net.weight") + six + text("epoch") + "K\x07" + "u.",
       "the entry epoch is no tensor"},
      {begin + "}(" + weights("a") + weights("b") + "u.", "it has several: a, b; save with"},
      {begin + "}(" + text("weight") + six + weights("b") + "u.", "it has several: the whole, b;"},
      {begin + "}(" + text("outer") + "}(" + weights("a") + "K\x03" + weights("") + "uu.",
       "it has several: outer.a, outer.3"},
      {begin + "}(" + text("0.bias") + "u.", "what cannot take them"},
      {dict(tensor(zero, "K\x07\x85", "K\x01\x85")), "beyond its storage"},
      {dict(tensor("K\x01", "K\x06\x85", "K\x01\x85")), "beyond its storage"},
      {dict(tensor("J\xff\xff\xff\xff", "K\x06\x85", "K\x01\x85")), "beyond its storage"},
      {dict(tensor(zero, "K\x06\x85", "K\x02\x85")), "beyond its storage"},
      {dict(tensor(zero, "K\x07\x85", zero + "\x85")), "beyond its storage"},
      {dict(tensor(zero, "K\x06\x85", "J\xff\xff\xff\xff\x85")), "beyond its storage"},
      {dict(tensor(zero, "K\x06\x85", ")")), "beyond its storage"},
      {dict(tensor(zero, zero + "\x85", "K\x01\x85")), "beyond its storage"},
      {dict(tensor(zero, "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
                   "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85")),
       "beyond its storage"},
      {dict(tensor(zero, "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t", "K\x01\x85")),
       "more than 8 axes"},
      {dict(tensor(zero, "N\x85", "K\x01\x85")), "not made of what tensors"},
      {dict("ctorch._utils\n_rebuild_tensor_v2\n)R"), "not made of what tensors"},
      {begin + "}q" + zero.substr(1) + "(" + text("a") + "h" + zero.substr(1) + "u.", "found: nothing"},
      {begin + std::string(200000, ')') + std::string(200000, '\x85') + ".", "no dict"},
      {begin + std::string(200000, '(') + ".", "too little on the stack"},
  }));
  CAPTURE(part);
  CHECK_THROWS_AS(unpickle_tensors(pickle, "file"), ModelError);
  CHECK_THROWS_WITH(unpickle_tensors(pickle, "file"), Contains(part) && Catch::StartsWith("file: "));
}

TEST_CASE("pickles: a state dict is found inside of what else was saved, in its own order", "[export]") {
  const auto text = [](const std::string& value) { return "X" + to_little_endian(value.size(), 4) + value; };
  const std::string hooks = "ccollections\nOrderedDict\n)R";
  const std::string tensor = "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") +
                             "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x06tQ" +
                             std::string("K\0", 2) + "K\x06\x85K\x01\x85\x89" + hooks + "tR";
  const auto names = [&](const std::string& pickle) {
    std::string all;
    for (const PickledTensor& read : unpickle_tensors("\x80\x02" + pickle + ".", "file"))
      all += read.name + ' ';
    return all;
  };
  const std::string inner =
      "}q\x01(" + text("b.weight") + tensor + text("a.bias") + tensor + text("b.weight") + tensor + "u";
  const std::string optimizer = "}(" + text("state") + "}(K\x01}(" + text("exp_avg") + tensor + text("step") +
                                tensor + "uu" + text("lr") + "G@\t!\xfbTD-\x18" + text("betas") +
                                "K\x01K\x02\x86u";
  CHECK(names(inner) == "b.weight a.bias ");
  CHECK(names("}(" + text("epoch") + "K\x03" + text("model") + inner + text("optimizer") + optimizer +
              text("rng") + tensor + "u") == "b.weight a.bias ");
  CHECK(names("}(" + text("a") + "}(" + text("b") + "}(" + text("c") + inner + "uuu") == "b.weight a.bias ");
  // The same dict twice is one network.
  CHECK(names("}(" + text("model") + inner + text("best") + "h\x01u") == "b.weight a.bias ");
  // Where nothing else is there, any names will do: what they mean is told elsewhere.
  CHECK(names("}(" + text("z") + tensor + text("a") + tensor + "u") == "z a ");
  // So deep that recursion would end the program.
  std::string nested = "}q\x01";
  for (int i = 0; i < 100000; ++i) nested += "}(" + text("k") + "h\x01uq\x01";
  CHECK_THROWS_WITH(names(nested), Contains("found: nothing"));
}

TEST_CASE("a pickle of large counts and many tensors is read back", "[export]") {
  std::vector<PickledTensor> tensors;
  for (int i = 0; i < 300; ++i) {
    tensors.push_back({fmt::format("{:03}.weight", i),
                       "DoubleStorage",
                       std::to_string(i),
                       5000000000,
                       7,
                       {2, 1000000000},
                       {2000000000, 2}});
  }
  const auto again = unpickle_tensors(pickle_tensors(tensors), "file");
  REQUIRE(again.size() == tensors.size());
  for (std::size_t i = 0; i < again.size(); ++i) {
    CHECK(again[i].name == tensors[i].name);
    CHECK(again[i].storage == tensors[i].storage);
    CHECK(again[i].storage_size == 5000000000);
    CHECK(again[i].offset == 7);
    CHECK(again[i].shape == tensors[i].shape);
    CHECK(again[i].stride == tensors[i].stride);
  }
}

TEST_CASE("thousands of damaged files are read or refused", "[export]") {
  const Model model = random_model({12, {5, 4}, 3, BatchNormPlace::after}, {4, 3});
  const std::string safetensors = to_safetensors(model);
  const auto header = static_cast<std::size_t>(static_cast<unsigned char>(safetensors[0]) +
                                               256 * static_cast<unsigned char>(safetensors[1]));
  check_damaged(safetensors, 8 + header, 5000, 10,
                [](const std::string& file) { parse_safetensors(file, "file"); });
  std::vector<PickledTensor> pickled;
  for (const auto& [name, tensor] : tensors_of(model)) {
    pickled.push_back(
        {name, "FloatStorage", "0", tensor.numel(), 0, tensor.sizes().vec(), tensor.strides().vec()});
  }
  const std::string pickle = pickle_tensors(pickled);
  check_damaged(pickle, pickle.size(), 10000, 10,
                [](const std::string& file) { unpickle_tensors(file, "file"); });
  const std::string state_dict = to_state_dict(model);
  check_damaged(state_dict, state_dict.size(), 3000, 10,
                [](const std::string& file) { parse_state_dict(file, "file"); });
  // Its directory lies at the end.
  std::mt19937 random(8);  // NOLINT: the same every time
  const std::size_t directory = state_dict.find("PK\x01\x02");
  for (int i = 0; i < 5000; ++i) {
    const std::string file = state_dict.substr(0, directory) + damaged(state_dict.substr(directory), random);
    try {
      parse_state_dict(file, "file");
    } catch (const ModelError&) {  // NOLINT(bugprone-empty-catch): is as good as being read
    }
  }
}

TEST_CASE("files that would take much more memory or time than they are large are refused", "[export]") {
  // Work that is quadratic in these takes minutes, which nobody overlooks.
  std::string many = "{";
  for (int i = 0; i < 60000; ++i) {
    many += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", i == 0 ? "" : ",", i);
  }
  many += "}";
  CHECK(parse_safetensors(safetensors(many, ""), "file").tensors.size() == 60000);

  std::string axes = "1";
  for (int i = 0; i < 8; ++i) axes += ",1";
  CHECK_THROWS_WITH(
      parse_safetensors(
          safetensors(R"({"w":{"dtype":"U8","shape":[)" + axes + R"(],"data_offsets":[0,1]}})", "x"), "file"),
      Contains("more than 8 axes"));
  const std::string long_name(1000000, 'n');
  try {
    parse_safetensors(safetensors("{\"" + long_name + "\":1}", ""), "file");
    FAIL("was read");
  } catch (const ModelError& error) {
    CHECK(std::string(error.what()).size() < 400);
  }
}

TEST_CASE("zip archives: damaged and hostile ones are refused", "[export]") {
  const auto number = to_little_endian;
  struct File {
    std::string name, contents;
    std::uint64_t method = 0;
    std::int64_t claimed = -1;  // bytes, where another number than there are
    std::int64_t place = -1;
  };
  const auto archive = [&](const std::vector<File>& files) {
    std::string bytes;
    std::string directory;
    for (const File& file : files) {
      const auto checksum =
          crc32_z(0, reinterpret_cast<const Bytef*>(file.contents.data()), file.contents.size());
      const std::uint64_t size =
          file.claimed < 0 ? file.contents.size() : static_cast<std::uint64_t>(file.claimed);
      const std::uint64_t place = file.place < 0 ? bytes.size() : static_cast<std::uint64_t>(file.place);
      directory += "PK\x01\x02" + std::string(6, '\0') + number(file.method, 2) + std::string(4, '\0') +
                   number(checksum, 4) + number(file.contents.size(), 4) + number(size, 4) +
                   number(file.name.size(), 2) + std::string(12, '\0') + number(place, 4) + file.name;
      bytes += "PK\x03\x04" + std::string(22, '\0') + number(file.name.size(), 2) + std::string(2, '\0') +
               file.name + file.contents;
    }
    const std::size_t begin = bytes.size();
    return bytes + directory + "PK\x05\x06" + std::string(4, '\0') + number(files.size(), 2) +
           number(files.size(), 2) + number(directory.size(), 4) + number(begin, 4) + std::string(2, '\0');
  };
  const std::string good = archive({{"a/x", "hello"}, {"a/y", "world"}});
  CHECK(ZipArchive(good, "file").read("y") == "world");
  CHECK(ZipArchive(good + "a comment", "file").read("x") == "hello");
  CHECK_FALSE(ZipArchive(good, "file").has("z"));
  const auto refused = [](const std::string& file, const std::string& part) {
    CHECK_THROWS_WITH(ZipArchive(file, "file").read("x"), Contains(part));
  };
  refused("", "no central directory");
  refused("PK", "no central directory");
  refused(good.substr(0, good.size() - 1), "no central directory");
  refused(archive({{"a/y", "hello"}}), "it has no x");
  refused(archive({{"a/x", "hello", 8}}), "its x is compressed");
  refused(archive({{"a/x", "hello", 0, 1000000000000}}), "its x is compressed");
  refused(archive({{"a/x", "hello"}, {"b/x", "hello"}}), "a file twice");
  refused(archive({{"a/x", "hello", 0, -1, 7}}), "its x is not there");
  refused(archive({{"a/x", "hello", 0, -1, 0xfffffff0}}), "its x is not there");
  refused(archive({{"a/x", "hello", 0, -1, 0xffffffff}}), "its x is not there");
  std::vector<File> overlapping = {{"a/x", std::string(1000, 'x')}};
  for (int i = 0; i < 9; ++i)
    overlapping.push_back({fmt::format("a/{}", i), std::string(1000, 'x'), 0, -1, 0});
  std::string shared = archive(overlapping);
  const std::size_t first = 30 + 3 + 1000;
  const std::size_t directory = shared.find("PK\x01\x02");
  shared.erase(first, directory - first);
  shared.replace(shared.size() - 6, 4, number(first, 4));
  refused(shared, "larger than it is");
  std::string changed = good;
  changed[34] = 'E';
  refused(changed, "checksum of its x");
  std::string more = good;
  more.replace(more.size() - 12, 2, number(3, 2));
  refused(more, "central directory ends too early");
}

TEST_CASE("a state dict whose bytes are not those of its pickle is refused", "[export]") {
  const auto archive = [](std::int64_t claimed, std::size_t bytes, const std::string& record) {
    std::string file;
    caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, std::size_t size) {
      file.append(static_cast<const char*>(data), size);
      return size;
    });
    std::vector<PickledTensor> tensors = {{"0.weight", "FloatStorage", "0", claimed, 0, {3, 2}, {2, 1}},
                                          {"0.bias", "FloatStorage", "0", claimed, claimed - 3, {3}, {1}}};
    const std::string pickle = pickle_tensors(tensors);
    const std::string numbers(bytes, '\0');
    writer.writeRecord("data.pkl", pickle.data(), pickle.size());
    writer.writeRecord(record, numbers.data(), numbers.size());
    writer.writeEndOfFile();
    return file;
  };
  CHECK(parse_state_dict(archive(9, 36, "data/0"), "file").network->architecture().description() == "2-3");
  for (const std::size_t bytes : {0, 4, 35, 37, 40}) {
    CHECK_THROWS_WITH(parse_state_dict(archive(9, bytes, "data/0"), "file"),
                      Contains("not as many as its pickle"));
  }
  CHECK_THROWS_WITH(parse_state_dict(archive(1000000000000, 36, "data/0"), "file"),
                    Contains("not as many as its pickle"));
  CHECK_THROWS_WITH(parse_state_dict(archive(9, 36, "data/1"), "file"),
                    Contains("damaged file of torch.save"));
}

TEST_CASE("files of other kinds are refused by name", "[export]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "model";
  const auto refused = [&](const std::string& contents, const std::string& part) {
    write_file(path, contents);
    CHECK_THROWS_AS(load_model(path), ModelError);
    CHECK_THROWS_WITH(load_model(path), Contains(part));
    CHECK_THROWS_WITH(load_classifier(path), Contains(part));
  };
  CHECK_THROWS_AS(load_model(path), FileError);
  refused("", "is no model file");
  refused("\x80\x02\x8a\x0al\xfc\x9c", "is no model file");  // torch.save before version 1.6
  refused("PK\x03\x04 and no more", "damaged file of torch.save");
  torch::save(at::ones({3}), path.string());
  CHECK_THROWS_AS(load_model(path), ModelError);
  const std::string good = to_state_dict(random_model({6, {}, 3, BatchNormPlace::none}, {2, 3}));
  refused(good.substr(0, good.size() / 2), "damaged file of torch.save: it has no central directory");
}

TEST_CASE("a file that its check refuses does not take the old one's place", "[export]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  write_file(path, "old");
  const auto check = [&](const std::filesystem::path& written) {
    const Bytes bytes = read_file(written);
    CHECK(std::string(bytes.begin(), bytes.end()) == "new");
    throw ModelError("no");
  };
  CHECK_THROWS_AS(write_file(path, "new", check), ModelError);
  CHECK(read_file(path) == Bytes{'o', 'l', 'd'});
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
  write_file(path, "newer", [](const auto& /*path*/) {});
  CHECK(read_file(path).size() == 5);
}

TEST_CASE("a C header has names of its own, exact numbers and comments that end where they should",
          "[export]") {
  CHECK(c_prefix("dir/digits.h") == "digits");
  CHECK(c_prefix("my-model 2.h") == "my_model_2");
  CHECK(c_prefix("2x.h") == "model2x");
  CHECK(c_prefix("_a.h") == "model_a");
  CHECK(c_prefix("zähler.h") == "z__hler");
  Model model = random_model({2, {}, 2, BatchNormPlace::none}, {1, 2});
  const auto value = [&](float number) {
    model.network->parameters.weight[0].fill_(number);
    const std::string text = to_c_header(model, "p");
    const std::size_t begin = text.find("= {", text.find("p_0_weight[4]")) + 3;
    return text.substr(begin, text.find(',', begin) - begin);
  };
  CHECK_THAT(value(1), Catch::EndsWith(" 1.0f"));
  CHECK_THAT(value(-0.1F), Catch::EndsWith(" -0.1f"));
  CHECK_THAT(value(1e-30F), Catch::EndsWith(" 1e-30f"));
  for (const float number : {1.0F / 3, 16777217.0F, 1.17549435e-38F, 3.40282347e38F}) {
    CHECK(std::stof(value(number)) == number);
  }
  // Neither plainly, nor where the compiler joins lines or replaces a trigraph, does it end the comment.
  for (const auto& [config, comment] : std::map<std::string, std::string>{{"/* */ @_ #", "/ * * / @_ #"},
                                                                          {"*\\\n/ *?"
                                                                           "?/\n/",
                                                                           "*  / *? ?/ /"},
                                                                          {"/*/", "/ * /"}}) {
    model.info.training_config = config;
    CHECK_THAT(to_c_header(model, "p"), Contains("training_config: " + comment + "\n"));
  }
}
