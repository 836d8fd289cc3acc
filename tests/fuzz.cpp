// Fuzzing with libFuzzer: every parser of bytes that come from outside, one per executable. What is read must
// be consistent, what is refused must be refused by one of our exceptions; the sanitizers see the rest.
// scripts/fuzz.sh builds and runs it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/class_names.h"
#include "handgrad/data/digit_picture.h"
#include "handgrad/data/exif.h"
#include "handgrad/data/idx.h"
#include "handgrad/data/picture.h"
#include "handgrad/files/file.h"
#include "handgrad/files/zip.h"
#include "handgrad/models/layer_names.h"
#include "handgrad/models/pickle.h"
#include "handgrad/models/safetensors.h"
#include "handgrad/train/checkpoint.h"
#ifdef FUZZ_TOML
#include "sweep/sweep_directory.h"
#include "sweep/sweep_file.h"
#endif

namespace {

using namespace handgrad;

[[maybe_unused]] void require(bool good) {
  if (!good) std::abort();
}

[[maybe_unused]] std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

#ifdef FUZZ_TOML
const app::Options& sweep_options() {
  static const app::Options options = [] {
    app::Options flags("sweep", "", "FILE.toml");
    app::add_flags(flags, {Setting::Group::data, Setting::Group::network, Setting::Group::training});
    app::add_machine_flags(flags);
    return flags;
  }();
  return options;
}
#endif

#ifdef FUZZ_NAMES
// A line for each tensor: its name, and after a space a byte for each size.
std::map<std::string, std::vector<std::int64_t>> named_shapes(const Bytes& bytes) {
  std::map<std::string, std::vector<std::int64_t>> tensors;
  std::istringstream lines(std::string(as_text(bytes)));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.find(' ');
    std::vector<std::int64_t>& shape = tensors[line.substr(0, space)];
    if (space == std::string::npos) continue;
    for (const char size : line.substr(space + 1)) shape.push_back(size - '0');
  }
  return tensors;
}
#endif

void parse(const Bytes& bytes) {
  [[maybe_unused]] const std::string_view text = as_text(bytes);
#if defined(FUZZ_IDX)
  const IdxArray array = parse_idx(bytes, "input");
  require(product(array.shape) == static_cast<std::int64_t>(array.values.size()));
  require(parse_idx(serialize_idx(array), "again").values == array.values);
#elif defined(FUZZ_GZIP)
  require(unpack(bytes, "input", 1 << 20).size() <= 1 << 20);
#elif defined(FUZZ_PICTURE)
  const int orientation = exif_orientation(bytes);
  require(orientation >= 1 && orientation <= 8);
  const IdxArray array = parse_picture(bytes, "input");
  require(product(array.shape) == static_cast<std::int64_t>(array.values.size()));
  const IdxArray digits = prepare_digits(array, {28, 28}, true, "input");
  require(product(digits.shape) == static_cast<std::int64_t>(digits.values.size()));
#elif defined(FUZZ_LABELS)
  // The first byte says which of the two files it is.
  const bool mapping = !text.empty() && text[0] == 'm';
  const std::string_view rest = text.substr(text.empty() ? 0 : 1);
  const ClassNames names = mapping ? parse_mapping(rest, 0, "input") : parse_labels(rest, "input");
  require(names.size() >= 2 && names.size() <= static_cast<std::size_t>(most_classes));
  std::string again;
  for (const std::string& name : names) {
    require(!name.empty() && visible(name) == name);
    again += name + "\n";
  }
  if (!mapping) require(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  const bool short_names =
      std::all_of(names.begin(), names.end(), [](const auto& name) { return name.size() <= 255; });
  if (!mapping && short_names) require(parse_labels(again, "again") == names);
#elif defined(FUZZ_SAFETENSORS)
  const Safetensors contents = parse_safetensors(text, "input");
  const std::string again = serialize_safetensors(contents);
  require(parse_safetensors(again, "again").tensors.size() == contents.tensors.size());
#elif defined(FUZZ_CHECKPOINT)
  // A mutation hardly ever keeps the checksum; the same parser below it is fuzzed by itself.
  const Safetensors contents = open_checkpoint(text, "input");
  require(open_checkpoint(seal_checkpoint(contents), "again").tensors.size() == contents.tensors.size());
#elif defined(FUZZ_PICKLE)
  const std::vector<PickledTensor> tensors = unpickle_tensors(text, "input");
  for (const PickledTensor& tensor : tensors) {
    std::int64_t last = tensor.offset;
    for (std::size_t d = 0; d < tensor.shape.size(); ++d) last += (tensor.shape[d] - 1) * tensor.stride[d];
    require(tensor.offset >= 0 && last < tensor.storage_size && product(tensor.shape) <= tensor.storage_size);
  }
  require(unpickle_tensors(pickle_tensors(tensors), "again").size() == tensors.size());
#elif defined(FUZZ_NAMES)
  const std::map<std::string, std::vector<std::int64_t>> tensors = named_shapes(bytes);
  std::vector<NamedShape> list;
  for (const auto& [name, shape] : tensors) list.push_back({name, shape});
  const FileOrder order = bytes.size() % 2 == 0 ? FileOrder::of_making : FileOrder::arbitrary;
  std::int64_t width = -1;
  std::size_t used = 0;
  for (const LayerNames& layer : find_layers("input", list, order)) {
    const std::vector<std::int64_t>& weight = tensors.at(tensor_name(layer.linear, "weight"));
    require(weight.size() == 2 && (width < 0 || weight[1] == width));
    width = weight[0];
    require(tensors.at(tensor_name(layer.linear, "bias")) == std::vector<std::int64_t>{width});
    used += 2;
    if (!layer.batch_norm) continue;
    for (const char* leaf : {"weight", "bias", "running_mean", "running_var"}) {
      require(tensors.at(tensor_name(*layer.batch_norm, leaf)) == std::vector<std::int64_t>{width});
    }
    used += 4 + tensors.count(tensor_name(*layer.batch_norm, "num_batches_tracked"));
  }
  require(used == tensors.size());
#elif defined(FUZZ_ZIP)
  const ZipArchive archive(text, "input");
  for (const char* name : {"data.pkl", "data/0", "version"}) {
    if (archive.has(name)) require(archive.read(name).size() <= bytes.size());
  }
#elif defined(FUZZ_TOML)
  const app::SweepFile sweep = app::parse_sweep_file(text, "input", sweep_options());
  std::set<std::string> names;
  std::set<std::string> files;
  for (const app::SweepConfiguration& configuration : sweep.configurations) {
    require(names.insert(configuration.name).second);
    require(files.insert(app::file_name_of(configuration.name)).second);
    require(configuration.settings.training.batch_size >= 1 && configuration.settings.training.epochs >= 0);
  }
  require(!names.empty() && names.size() <= app::most_configurations && sweep.seeds >= 1);
  for (const app::Claim& claim : sweep.claims) {
    for (const auto& [name, coefficient] : claim.contrast) require(names.count(name) == 1);
  }
#else
#error "name the parser: -DFUZZ_IDX, …"
#endif
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    parse({data, data + size});
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): refused, as it should be
#ifdef FUZZ_TOML
  } catch (const app::UsageError&) {  // NOLINT(bugprone-empty-catch): a setting that is wrong
#endif
  }
  return 0;
}
