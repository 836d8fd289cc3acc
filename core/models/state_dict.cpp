// State dicts: a zip archive of a pickle and of the bytes of each storage, written through LibTorch.
#include "handgrad/models/state_dict.h"

#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>

#include <map>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/zip.h"
#include "handgrad/models/pickle.h"

namespace handgrad {

namespace {

constexpr std::size_t largest_pickle = std::size_t{1} << 20;
constexpr const char* pickle_record = "data.pkl";
constexpr const char* metadata_record = "extra/metadata.json";

at::ScalarType dtype_of(const std::string& storage_type, const std::string& name) {
  static const std::map<std::string, at::ScalarType> types = {
      {"FloatStorage", at::kFloat}, {"DoubleStorage", at::kDouble},     {"HalfStorage", at::kHalf},
      {"LongStorage", at::kLong},   {"BFloat16Storage", at::kBFloat16}, {"IntStorage", at::kInt}};
  const auto found = types.find(storage_type);
  if (found == types.end()) {
    throw ModelError(
        fmt::format("{}: holds a {}, which no tensor of a network is made of; save its weights "
                    "as float32",
                    printable(name), printable_excerpt(storage_type)));
  }
  return found->second;
}

}  // namespace

std::string to_state_dict(const Model& model) {
  std::string file;
  caffe2::serialize::PyTorchStreamWriter archive([&](const void* bytes, std::size_t size) {
    file.append(static_cast<const char*>(bytes), size);
    return size;
  });
  const NamedTensors tensors = tensors_of(model);
  std::vector<PickledTensor> pickled;
  for (const auto& [name, tensor] : tensors) {
    pickled.push_back({name, "FloatStorage", std::to_string(pickled.size()), tensor.numel(), 0,
                       tensor.sizes().vec(), tensor.strides().vec()});
  }
  const auto write = [&](const std::string& record, std::string_view contents) {
    archive.writeRecord(record, contents.data(), contents.size());
  };
  write(pickle_record, pickle_tensors(pickled));
  write("byteorder", "little");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i].second;
    write("data/" + pickled[i].storage, {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()});
  }
  write(metadata_record, to_json(metadata_of(model)));
  archive.writeEndOfFile();
  return file;
}

bool is_archive(std::string_view file) {
  return file.substr(0, 4) == std::string_view("PK\x03\x04", 4);
}

bool is_torchscript(std::string_view archive, const std::string& name) {
  return ZipArchive(archive, name).has("constants.pkl");
}

Model parse_state_dict(std::string_view bytes, const std::string& name) {
  const ZipArchive archive(bytes, name);
  if (!archive.has(pickle_record)) {
    throw ModelError(fmt::format("{}: is a zip archive, but not one of torch.save: it has no {}",
                                 printable(name), pickle_record));
  }
  if (archive.has("byteorder") && archive.read("byteorder") != "little") {
    throw ModelError(
        fmt::format("{}: its numbers are not little-endian; save it on another machine", printable(name)));
  }
  const std::string_view pickle = archive.read(pickle_record);
  if (pickle.size() > largest_pickle) {
    throw ModelError(fmt::format("{}: its pickle has {} bytes, more than the {} that are read",
                                 printable(name), pickle.size(), largest_pickle));
  }
  std::map<std::string, std::string> storages;  // copied, to be aligned; several tensors may share one
  NamedTensors tensors;
  std::uint64_t total = 0;
  for (const PickledTensor& pickled : unpickle_tensors(pickle, name)) {
    const at::ScalarType dtype = dtype_of(pickled.storage_type, name);
    const auto [storage, is_new] = storages.try_emplace(pickled.storage);
    if (is_new) storage->second = archive.read("data/" + pickled.storage);
    const std::size_t item = c10::elementSize(dtype);
    if (static_cast<std::uint64_t>(pickled.storage_size) != storage->second.size() / item ||
        storage->second.size() % item != 0) {
      throw ModelError(fmt::format("{}: the bytes of {} are not as many as its pickle says; write it again",
                                   printable(name), printable_excerpt(pickled.name)));
    }
    char* first = storage->second.data() + static_cast<std::size_t>(pickled.offset) * item;
    const Tensor view = at::from_blob(first, pickled.shape, pickled.stride, dtype);
    total += view.nbytes();
    if (total > bytes.size()) {
      throw ModelError(fmt::format("{}: its tensors are larger than the file, as those of no network are",
                                   printable(name)));
    }
    tensors.emplace_back(pickled.name, view.clone());
  }
  Metadata metadata;
  if (archive.has(metadata_record)) {
    metadata = metadata_from_json(std::string(archive.read(metadata_record).substr(0, largest_pickle)));
  }
  return model_from_tensors(name, tensors, FileOrder::of_making, metadata);
}

}  // namespace handgrad
