// Processes that compute together.
#include "handgrad/platform/process_group.h"

#include <fmt/format.h>

#ifdef HANDGRAD_PROCESS_GROUP
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <torch/version.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef HANDGRAD_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>
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

// Within it all meet, and each exchange ends; c10d itself would wait for half an hour.
constexpr std::chrono::milliseconds timeout = std::chrono::seconds(60);
// Within it the store answers, which only keeps numbers and texts.
constexpr std::chrono::milliseconds store_timeout = std::chrono::seconds(20);
// The same once an exchange has failed.
constexpr std::chrono::milliseconds last_timeout = std::chrono::seconds(10);
// For what the others say of a failure.
constexpr std::chrono::milliseconds short_timeout = std::chrono::seconds(3);
constexpr std::chrono::milliseconds pause = std::chrono::milliseconds(20);

bool is_loopback(const std::string& host) {
  return host == "localhost" || host.rfind("127.", 0) == 0 || host == "::1";
}

#if TORCH_VERSION_MAJOR >= 2
// A socket that listens on the loopback interface alone, where c10d would listen on all.
int listening_on_loopback(std::uint16_t port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
      bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      listen(descriptor, SOMAXCONN) == 0) {
    return descriptor;
  }
  const std::string why = std::strerror(errno);
  if (descriptor >= 0) close(descriptor);
  throw LaunchError(fmt::format(
      "port {} of this machine cannot be opened: {}; give MASTER_PORT another number", port, why));
}
#endif

// Without the trace that c10 adds.
std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

c10::intrusive_ptr<c10d::Store> open_store(const Launch& launch) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = launch.rank == 0 && !launch.starter_keeps_store;
  options.waitWorkers = false;
  options.timeout = timeout;
#if TORCH_VERSION_MAJOR >= 2
  options.useLibUV = false;  // Debian's LibTorch has none
  if (options.isServer && is_loopback(launch.host))
    options.masterListenFd = listening_on_loopback(launch.port);
#endif
  try {
    return c10::make_intrusive<c10d::TCPStore>(launch.host, options);
  } catch (const std::exception& error) {
    const std::string why = first_line(error);
    if (why.find("already in use") != std::string::npos) {
      throw LaunchError(
          fmt::format("port {} of this machine is in use; give MASTER_PORT another number", launch.port));
    }
    throw LaunchError(fmt::format(
        "rank {} of {} cannot {} the store at {}:{} ({}); is MASTER_ADDR the machine of rank 0, and "
        "MASTER_PORT a port that nobody else uses?",
        launch.rank, launch.size, options.isServer ? "open" : "reach", launch.host, launch.port, why));
  }
}

// What c10d and Gloo throw is of many types, and says nothing of ranks.
template <typename Work>
void exchange(const Work& work) {
  try {
    work();
  } catch (const std::exception& error) {
    throw LostProcess(first_line(error));
  }
}

using StorePtr = c10::intrusive_ptr<c10d::Store>;

// What the store answers to `ask`, for which c10d may wait for ever where the process that keeps the store hangs. Then
// a thread waits on, which keeps the store alive, until this process ends.
template <typename Ask>
auto answer_of(const StorePtr& store, std::chrono::milliseconds longest, const Ask& ask) {
  // Let go of before the answer is there, so that it is not the thread that closes the store.
  std::packaged_task<decltype(ask(*store))()> task([held = store, ask]() mutable {
    const StorePtr own = std::move(held);
    return ask(*own);
  });
  auto answer = task.get_future();
  std::thread(std::move(task)).detach();
  if (answer.wait_for(longest) != std::future_status::ready) {
    throw LostProcess("the store at MASTER_ADDR does not answer");
  }
  return answer.get();
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
std::string piece_of(const std::string& name, std::int64_t number) {
  return fmt::format("shared/{}/{}", name, number);
}
// Bytes; the store of torchrun from PyTorch 2.4 on takes no values of more than 8 MiB.
constexpr std::size_t largest_piece = std::size_t{4} << 20;
constexpr const char* failures_key = "failures";

#ifdef HANDGRAD_NCCL

// Moves tensors between GPUs, each process on one of its own.
class BetweenGpus {
 public:
  BetweenGpus(const StorePtr& store, int rank, int size) {
    // Else a process that is gone would end the others from within a thread of c10d, with a trace.
    // NOLINTNEXTLINE(concurrency-mt-unsafe): before c10d has threads that ask
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", 0);
    const auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    const auto own_keys = c10::make_intrusive<c10d::PrefixStore>("nccl", store);
    nccl_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(own_keys, rank, size, options);
  }
  ~BetweenGpus() {
    try {
      nccl_->shutdown();
    } catch (...) {  // NOLINT(bugprone-empty-catch): the process ends
    }
  }
  BetweenGpus(const BetweenGpus&) = delete;
  BetweenGpus& operator=(const BetweenGpus&) = delete;

  void all_gather(int rank, std::vector<Tensor>& of_ranks) {
    std::vector<std::vector<Tensor>> taken = {of_ranks};
    std::vector<Tensor> given = {of_ranks[static_cast<std::size_t>(rank)]};
    const auto gathering = nccl_->allgather(taken, given);
    // c10d would look once in a millisecond.
    const auto end = std::chrono::steady_clock::now() + timeout;
    while (!gathering->isCompleted()) {
      if (std::chrono::steady_clock::now() > end) throw LostProcess("another GPU does not answer");
      std::this_thread::yield();
    }
    gathering->wait();
  }

  // What the others still wait for does not come.
  void leave() { nccl_->abort(); }

 private:
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl_;
};

#else

class BetweenGpus {
 public:
  BetweenGpus(const StorePtr& /*store*/, int /*rank*/, int /*size*/) {
    throw LaunchError(
        "--device: this handgrad was built without NCCL, by which several GPUs train one network; give cpu, or start "
        "one process");
  }

  void all_gather(int /*rank*/, std::vector<Tensor>& /*of_ranks*/) {}
  void leave() {}
};

#endif

}  // namespace

std::string no_process_group() {
  return "";
}

class ProcessGroup::Connection {
  template <typename Ask>
  auto ask(const Ask& what) {
    return answer_of(store_, store_timeout, what);
  }

 public:
  explicit Connection(const Launch& launch)
      : keeps_store_(launch.rank == 0 && !launch.starter_keeps_store),
        // A launcher that starts all anew keeps its store, with what the processes before had written.
        store_(c10::make_intrusive<c10d::PrefixStore>(fmt::format("handgrad/{}", launch.restart),
                                                      open_store(launch))) {
    store_->setTimeout(timeout);
  }

  void meet(const Launch& launch) {
    is_stranger_ = ask([key = joined_key(launch.rank)](c10d::Store& store) { return store.add(key, 1); }) > 1;
    if (is_stranger_) {
      throw LaunchError(
          fmt::format("{}:{} knows another process as rank {}; two runs at once need a MASTER_PORT each",
                      launch.host, launch.port, launch.rank));
    }
    for (int rank = 0; rank < launch.size; ++rank) wait_for(launch, rank);
    const auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(is_loopback(launch.host) || launch.local_size == launch.size
                                   ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                   : c10d::ProcessGroupGloo::createDefaultDevice());
    exchange([&] {
      gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, launch.rank, launch.size, options);
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
    receiving->wait(timeout);
    sending->wait(timeout);
  }

  void broadcast(Tensor& tensor) {
    std::vector<Tensor> tensors = {tensor};
    gloo_->broadcast(tensors)->wait();
  }

  std::int64_t add(const std::string& counter, std::int64_t amount) {
    return ask([=](c10d::Store& store) { return store.add(key_of(counter), amount); });
  }

  void put(const std::string& key, const std::string& text) {
    std::int64_t pieces = 0;
    for (std::size_t begin = 0; begin < text.size(); begin += largest_piece) {
      const std::string piece = text.substr(begin, largest_piece);
      ask([piece, name = piece_of(key, pieces++)](c10d::Store& store) {
        store.set(name, std::vector<std::uint8_t>(piece.begin(), piece.end()));
      });
    }
    add(key, 1 + pieces);  // last, so that all is there
  }

  std::optional<std::string> take(const std::string& key) {
    const std::int64_t pieces = add(key, 0) - 1;
    if (pieces < 0) return std::nullopt;
    std::string text;
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const std::string name = piece_of(key, piece);
      const std::vector<std::uint8_t> bytes = ask([name](c10d::Store& store) { return store.get(name); });
      text.append(bytes.begin(), bytes.end());
      ask([name](c10d::Store& store) { store.deleteKey(name); });
    }
    ask([name = key_of(key)](c10d::Store& store) { store.deleteKey(name); });
    return text;
  }

  bool has_failed() {
    return ask([](c10d::Store& store) { return store.check({failures_key}); });
  }

  bool fails_first(int rank, int size, bool lost, std::vector<int>& missing) {
    if (is_stranger_) return true;  // whose failure is not theirs
    const auto add = [this](const std::string& key, std::int64_t amount) {
      return answer_of(store_, last_timeout, [=](c10d::Store& store) { return store.add(key, amount); });
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
      if (keeps_store_) {
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
      answer_of(store_, timeout + short_timeout,
                [rank](c10d::Store& store) { store.wait({joined_key(rank)}, timeout); });
    } catch (const LostProcess&) {
      throw;
    } catch (const std::exception&) {
      throw LaunchError(
          fmt::format("rank {} of {} has not come to {}:{} within {} seconds; are all processes started?",
                      rank, launch.size, launch.host, launch.port,
                      std::chrono::duration_cast<std::chrono::seconds>(timeout).count()));
    }
  }

  bool keeps_store_;
  bool is_stranger_ = false;  // to those whose store it is
  StorePtr store_;
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
