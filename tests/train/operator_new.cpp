// operator new, counted. A file of its own, so that no compiler sees through it.
#include "train/operator_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

// GCC tells of the address sanitizer, which has an operator new of its own, by a macro, Clang by a feature.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

namespace {

std::atomic<std::int64_t> calls{0};

}  // namespace

std::int64_t operator_new_calls() {
  return calls;
}

#ifndef __SANITIZE_ADDRESS__
void* operator new(std::size_t size) {
  calls.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif
