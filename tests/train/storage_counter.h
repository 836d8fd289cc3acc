// Counts the tensor storages that LibTorch allocates.
#pragma once

#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace handgrad {

// Of this thread, while it lives.
class StorageCounter : public c10::MemoryReportingInfoBase {
 public:
  using Amount = std::conditional_t<(TORCH_VERSION_MAJOR >= 2), std::size_t, std::int64_t>;

  void reportMemoryUsage(void*, std::int64_t size, Amount, Amount, c10::Device) override {
    if (size > 0) ++allocated;
    held += size;  // negative where memory is given back
    peak = std::max(peak, held);
  }
  bool memoryProfilingEnabled() const override { return true; }

  std::int64_t allocated = 0;
  std::int64_t held = 0, peak = 0;  // bytes
};

template <typename Work>
StorageCounter storages_of(const Work& work) {
  const auto counter = std::make_shared<StorageCounter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
  work();
  return *counter;
}

}  // namespace handgrad
