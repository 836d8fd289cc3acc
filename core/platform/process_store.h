// Where several processes meet: a store of numbers and texts that all of them reach, that of LibTorch's c10d.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "handgrad/base/errors.h"
#include "handgrad/platform/launch.h"

namespace c10d {
class Store;
}

namespace handgrad {

// Another process is gone, or silent for longer than the timeout.
struct LostProcess : LaunchError {
  using LaunchError::LaunchError;
};

// Within it all meet, and each exchange ends; c10d itself would wait for half an hour.
constexpr std::chrono::milliseconds process_timeout = std::chrono::seconds(60);
// Within it the store answers, which only keeps numbers and texts.
constexpr std::chrono::milliseconds store_timeout = std::chrono::seconds(20);

bool is_loopback(const std::string& host);

// For several threads at once. What c10d finds wrong it throws, of many types; where the store does not answer, LostProcess.
class ProcessStore {
 public:
  // Opens the store, or reaches it; without its own among those that a launcher has started anew. Throws LaunchError where
  // that cannot be within the timeout.
  explicit ProcessStore(const Launch& launch);
  ~ProcessStore();
  ProcessStore(const ProcessStore&) = delete;
  ProcessStore& operator=(const ProcessStore&) = delete;

  // Whether this process keeps it for the others.
  bool is_kept_here() const { return is_kept_here_; }

  // Adds to a number, 0 at first, and returns what it is then.
  std::int64_t add(const std::string& key, std::int64_t amount,
                   std::chrono::milliseconds longest = store_timeout);
  // Whether a key has a number.
  bool has(const std::string& key);
  // Until it has, or for the timeout, after which c10d throws.
  void wait_for(const std::string& key);

  // Lays down a text that another process takes away; none where nothing lies there.
  void put(const std::string& key, const std::string& text);
  std::optional<std::string> take(const std::string& key);

  // For c10d's own exchanges.
  const c10::intrusive_ptr<c10d::Store>& c10d() const { return store_; }

 private:
  bool is_kept_here_;
  c10::intrusive_ptr<c10d::Store> store_;
};

}  // namespace handgrad
