// Fuzzing with libFuzzer: every parser of bytes that come from outside, one per executable. What is read must
// be consistent, what is refused must be refused by one of our exceptions; the sanitizers see the rest.
// scripts/fuzz.sh builds and runs it.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "checkpoint.h"
#include "errors.h"
#include "file.h"
#include "idx.h"
#include "pickle.h"
#include "picture.h"
#include "safetensors.h"
#include "zip.h"

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

void parse(const Bytes& bytes) {
  [[maybe_unused]] const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
#if defined(FUZZ_IDX)
  const IdxArray array = parse_idx(bytes, "input");
  require(product(array.shape) == static_cast<std::int64_t>(array.values.size()));
  require(parse_idx(serialize_idx(array), "again").values == array.values);
#elif defined(FUZZ_GZIP)
  require(unpack(bytes, "input", 1 << 20).size() <= 1 << 20);
#elif defined(FUZZ_PNG)
  if (!is_png(bytes)) return;
  const IdxArray array = parse_png(bytes, "input");
  require(product(array.shape) == static_cast<std::int64_t>(array.values.size()));
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
#elif defined(FUZZ_ZIP)
  const ZipArchive archive(text, "input");
  for (const char* name : {"data.pkl", "data/0", "version"}) {
    if (archive.has(name)) require(archive.read(name).size() <= bytes.size());
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
  }
  return 0;
}
