// Where several processes meet.
#include "handgrad/platform/process_store.h"

#ifdef HANDGRAD_PROCESS_GROUP

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <torch/version.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <cstring>
#include <future>
#include <thread>
#include <vector>

namespace handgrad {

namespace {

using StorePtr = c10::intrusive_ptr<c10d::Store>;

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

bool keeps_store(const Launch& launch) {
  return launch.rank == 0 && !launch.starter_keeps_store;
}

StorePtr open_store(const Launch& launch) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = keeps_store(launch);
  options.waitWorkers = false;
  options.timeout = process_timeout;
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

// Bytes; the store of torchrun from PyTorch 2.4 on takes no values of more than 8 MiB.
constexpr std::size_t largest_piece = std::size_t{4} << 20;

std::string piece_of(const std::string& key, std::int64_t number) {
  return fmt::format("{}/{}", key, number);
}

}  // namespace

bool is_loopback(const std::string& host) {
  return host == "localhost" || host.rfind("127.", 0) == 0 || host == "::1";
}

ProcessStore::ProcessStore(const Launch& launch)
    : is_kept_here_(keeps_store(launch)),
      // A launcher that starts all anew keeps its store, with what the processes before had written.
      store_(c10::make_intrusive<c10d::PrefixStore>(fmt::format("handgrad/{}", launch.restart),
                                                    open_store(launch))) {
  store_->setTimeout(process_timeout);
}

ProcessStore::~ProcessStore() = default;

std::int64_t ProcessStore::add(const std::string& key, std::int64_t amount,
                               std::chrono::milliseconds longest) {
  return answer_of(store_, longest, [=](c10d::Store& store) { return store.add(key, amount); });
}

bool ProcessStore::has(const std::string& key) {
  return answer_of(store_, store_timeout, [key](c10d::Store& store) { return store.check({key}); });
}

void ProcessStore::wait_for(const std::string& key) {
  constexpr std::chrono::milliseconds longer = std::chrono::seconds(3);  // c10d speaks first
  answer_of(store_, process_timeout + longer,
            [key](c10d::Store& store) { store.wait({key}, process_timeout); });
}

void ProcessStore::put(const std::string& key, const std::string& text) {
  std::int64_t pieces = 0;
  for (std::size_t begin = 0; begin < text.size(); begin += largest_piece) {
    const std::string piece = text.substr(begin, largest_piece);
    answer_of(store_, store_timeout, [piece, name = piece_of(key, pieces++)](c10d::Store& store) {
      store.set(name, std::vector<std::uint8_t>(piece.begin(), piece.end()));
    });
  }
  add(key, 1 + pieces);  // last, so that all is there
}

std::optional<std::string> ProcessStore::take(const std::string& key) {
  const std::int64_t pieces = add(key, 0) - 1;
  if (pieces < 0) return std::nullopt;
  const auto remove = [this](const std::string& name) {
    answer_of(store_, store_timeout, [name](c10d::Store& store) { store.deleteKey(name); });
  };
  std::string text;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const std::string name = piece_of(key, piece);
    const std::vector<std::uint8_t> bytes =
        answer_of(store_, store_timeout, [name](c10d::Store& store) { return store.get(name); });
    text.append(bytes.begin(), bytes.end());
    remove(name);
  }
  remove(key);
  return text;
}

}  // namespace handgrad

#endif
