// Processes that compute together.
#include "handgrad/platform/process_group.h"

#include <fmt/format.h>

#ifdef HANDGRAD_PROCESS_GROUP
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <thread>

#include "handgrad/platform/between_gpus.h"
#endif

namespace handgrad {

#ifndef HANDGRAD_PROCESS_GROUP

std::string no_process_group() {
  return "this handgrad was built without the headers of Gloo; install libgloo-dev, or libgloo-cuda-dev beside "
         "Debian's LibTorch for CUDA, and build it again";
}

class ProcessGroup::Connection {};

ProcessGroup::ProcessGroup(const Launch& launch) : launch_(launch) {
  throw LaunchError(
      fmt::format("{} has started {} processes, but {}", launch.starter, launch.size, no_process_group()));
}

void ProcessGroup::meet() {}
void ProcessGroup::join_gpus(at::Device /*gpu*/) {}
void ProcessGroup::all_gather(std::vector<Tensor>& /*of_ranks*/) {}
void ProcessGroup::swap(int /*other*/, const Tensor& /*given*/, const Tensor& /*taken*/) {}
void ProcessGroup::broadcast(Tensor& /*tensor*/) {}
std::int64_t ProcessGroup::add(const std::string& /*counter*/, std::int64_t /*amount*/) {
  return 0;
}
void ProcessGroup::put(const std::string& /*key*/, const std::string& /*text*/) {}
std::optional<std::string> ProcessGroup::take(const std::string& /*key*/) {
  return std::nullopt;
}
bool ProcessGroup::has_failed() {
  return false;
}
bool ProcessGroup::fails_first(bool /*lost*/, std::vector<int>& /*missing*/) {
  return true;
}

#else

namespace {

// Within it the store answers once an exchange has failed.
constexpr std::chrono::milliseconds last_timeout = std::chrono::seconds(10);
// For what the others say of a failure.
constexpr std::chrono::milliseconds short_timeout = std::chrono::seconds(3);
constexpr std::chrono::milliseconds pause = std::chrono::milliseconds(20);

// What c10d and Gloo throw is of many types, and says nothing of ranks.
template <typename Work>
void exchange(const Work& work) {
  try {
    work();
  } catch (const std::exception& error) {
    throw LostProcess(first_line(error));
  }
}

std::string joined_key(int rank) {
  return fmt::format("joined/{}", rank);
}
std::string lost_key(int rank) {
  return fmt::format("lost/{}", rank);
}
// Of what callers name, apart from the above.
std::string key_of(const std::string& name) {
  return "shared/" + name;
}
constexpr const char* failures_key = "failures";

}  // namespace

std::string no_process_group() {
  return "";
}

class ProcessGroup::Connection {
 public:
  explicit Connection(const Launch& launch) : store_(launch) {}

  void meet(const Launch& launch) {
    is_stranger_ = store_.add(joined_key(launch.rank), 1) > 1;
    if (is_stranger_) {
      throw LaunchError(
          fmt::format("{}:{} knows another process as rank {}; two runs at once need a MASTER_PORT each",
                      launch.host, launch.port, launch.rank));
    }
    for (int rank = 0; rank < launch.size; ++rank) wait_for(launch, rank);
    const auto options = c10d::ProcessGroupGloo::Options::create(process_timeout);
    options->devices.push_back(is_loopback(launch.host) || launch.local_size == launch.size
                                   ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                   : c10d::ProcessGroupGloo::createDefaultDevice());
    exchange([&] {
      gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_.c10d(), launch.rank, launch.size, options);
    });
  }

  void join_gpus(const Launch& launch, at::Device gpu) {
    try {
      gpus_ = std::make_unique<BetweenGpus>(store_, launch.rank, launch.size);
      // What NCCL finds wrong it says at the first exchange.
      const Tensor one_of_each_rank = at::zeros({launch.size, 1}, at::TensorOptions(gpu));
      std::vector<Tensor> of_ranks = one_of_each_rank.unbind();
      gpus_->all_gather(launch.rank, of_ranks);
    } catch (const LaunchError&) {
      throw;
    } catch (const std::exception& error) {
      throw LaunchError(fmt::format(
          "rank {} of {}: NCCL cannot join {} with the other GPUs ({}); does each process have one to itself?",
          launch.rank, launch.size, gpu.str(), first_line(error)));
    }
  }

  void all_gather(int rank, std::vector<Tensor>& of_ranks) {
    if (of_ranks.front().is_cuda()) return gpus_->all_gather(rank, of_ranks);
    // Around the ring, in place; Gloo's own would take its result to tensors of its own first.
    const auto size = static_cast<int>(of_ranks.size());
    const auto tensor_of = [&](int other) {
      return of_ranks[static_cast<std::size_t>((other + size) % size)];
    };
    for (int passed = 0; passed + 1 < size; ++passed) {
      pass((rank + 1) % size, tensor_of(rank - passed), (rank - 1 + size) % size,
           tensor_of(rank - passed - 1));
    }
  }

  void pass(int to, const Tensor& given, int from, const Tensor& taken) {
    std::vector<Tensor> all_given = {given};
    std::vector<Tensor> all_taken = {taken};
    const auto sending = gloo_->send(all_given, to, 0);
    const auto receiving = gloo_->recv(all_taken, from, 0);
    receiving->wait(process_timeout);
    sending->wait(process_timeout);
  }

  void broadcast(Tensor& tensor) {
    std::vector<Tensor> tensors = {tensor};
    gloo_->broadcast(tensors)->wait();
  }

  std::int64_t add(const std::string& counter, std::int64_t amount) {
    return store_.add(key_of(counter), amount);
  }
  void put(const std::string& key, const std::string& text) { store_.put(key_of(key), text); }
  std::optional<std::string> take(const std::string& key) { return store_.take(key_of(key)); }
  bool has_failed() { return store_.has(failures_key); }

  bool fails_first(int rank, int size, bool lost, std::vector<int>& missing) {
    if (is_stranger_) return true;  // whose failure is not theirs
    const auto add = [this](const std::string& key, std::int64_t amount) {
      return store_.add(key, amount, last_timeout);
    };
    try {
      if (lost) add(lost_key(rank), 1);
      const bool first = add(failures_key, 1) == 1;
      gloo_.reset();  // the others no longer wait for this one, and it has come before them
      if (gpus_ != nullptr) gpus_->leave();
      const auto all_fail_within = [&](std::chrono::milliseconds longest) {
        const auto end = std::chrono::steady_clock::now() + longest;
        while (add(failures_key, 0) < size) {
          if (std::chrono::steady_clock::now() > end) return false;
          std::this_thread::sleep_for(pause);
        }
        return true;
      };
      bool all = false;
      // Who keeps the store stays for longer than who speaks, which asks it who is lost.
      if (store_.is_kept_here()) {
        all = all_fail_within(2 * short_timeout);
      } else if (first && lost) {
        all = all_fail_within(short_timeout);
      }
      if (!first) return false;
      for (int other = 0; lost && !all && other < size; ++other) {
        if (add(lost_key(other), 0) == 0) missing.push_back(other);
      }
      return true;
    } catch (const std::exception&) {
      missing = {0};  // which kept the store
      return rank == 1;
    }
  }

 private:
  void wait_for(const Launch& launch, int rank) {
    try {
      store_.wait_for(joined_key(rank));
    } catch (const LostProcess&) {
      throw;
    } catch (const std::exception&) {
      throw LaunchError(
          fmt::format("rank {} of {} has not come to {}:{} within {} seconds; are all processes started?",
                      rank, launch.size, launch.host, launch.port,
                      std::chrono::duration_cast<std::chrono::seconds>(process_timeout).count()));
    }
  }

  ProcessStore store_;
  bool is_stranger_ = false;  // to those whose store it is
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  std::unique_ptr<BetweenGpus> gpus_;  // null where all compute on CPUs
};

ProcessGroup::ProcessGroup(const Launch& launch)
    : launch_(launch), connection_(std::make_unique<Connection>(launch)) {}

void ProcessGroup::meet() {
  connection_->meet(launch_);
}

void ProcessGroup::join_gpus(at::Device gpu) {
  from_all(true);  // NCCL itself would wait for ever for a rank that has failed
  connection_->join_gpus(launch_, gpu);
}

void ProcessGroup::all_gather(std::vector<Tensor>& of_ranks) {
  exchange([&] { connection_->all_gather(rank(), of_ranks); });
}

void ProcessGroup::swap(int other, const Tensor& given, const Tensor& taken) {
  exchange([&] { connection_->pass(other, given, other, taken); });
}

void ProcessGroup::broadcast(Tensor& tensor) {
  exchange([&] { connection_->broadcast(tensor); });
}

std::int64_t ProcessGroup::add(const std::string& counter, std::int64_t amount) {
  std::int64_t sum = 0;
  exchange([&] { sum = connection_->add(counter, amount); });
  return sum;
}

void ProcessGroup::put(const std::string& key, const std::string& text) {
  exchange([&] { connection_->put(key, text); });
}

std::optional<std::string> ProcessGroup::take(const std::string& key) {
  std::optional<std::string> text;
  exchange([&] { text = connection_->take(key); });
  return text;
}

bool ProcessGroup::has_failed() {
  bool failed = false;
  exchange([&] { failed = connection_->has_failed(); });
  return failed;
}

bool ProcessGroup::fails_first(bool lost, std::vector<int>& missing) {
  return connection_->fails_first(rank(), size(), lost, missing);
}

#endif

ProcessGroup::~ProcessGroup() = default;

std::string ProcessGroup::from_first(const std::string& text) {
  const std::int64_t size = from_first(static_cast<std::int64_t>(text.size()));
  std::string all = rank() == 0 ? text : std::string(static_cast<std::size_t>(size), '\0');
  if (all.empty()) return all;
  Tensor bytes = at::from_blob(all.data(), {static_cast<std::int64_t>(all.size())}, at::kByte);
  broadcast(bytes);
  return all;
}

std::int64_t ProcessGroup::from_first(std::int64_t number) {
  Tensor first = at::full({1}, number, at::kLong);
  broadcast(first);
  return first.item<std::int64_t>();
}

std::vector<bool> ProcessGroup::from_all(bool yes) {
  std::vector<Tensor> flags;
  for (int rank = 0; rank < size(); ++rank) flags.push_back(at::full({1}, yes ? 1 : 0, at::kByte));
  all_gather(flags);
  std::vector<bool> answers;
  for (const Tensor& flag : flags) answers.push_back(flag.item<std::uint8_t>() != 0);
  return answers;
}

}  // namespace handgrad
