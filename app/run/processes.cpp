// One command in several processes.
#include "run/processes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>

#include "cli/settings.h"
#include "handgrad/base/errors.h"
#include "handgrad/platform/resources.h"
#include "handgrad/platform/system.h"
#include "handgrad/train/footprint.h"

namespace handgrad::app {

namespace {

int processes_here(const ProcessGroup* processes) {
  return processes == nullptr ? 1 : processes->local_size();
}

std::string message_of_lost(const std::vector<int>& missing, int size, const LostProcess& error,
                            const std::string& remedy) {
  if (missing.empty()) return fmt::format("the {} processes have lost each other: {}", size, error.what());
  return fmt::format("{} of {} {} ended or hung; {}", ranks_in_words(missing), size,
                     missing.size() == 1 ? "has" : "have", remedy);
}

// For a failure here, of which the others hear. 1 where another rank speaks for all.
int leave(ProcessGroup& processes, const std::string& message) {
  std::vector<int> missing;
  if (!processes.fails_first(false, missing)) return 1;
  throw LaunchError(message);
}

std::string of_this_rank(const ProcessGroup& processes, const std::string& message) {
  return fmt::format("rank {} of {}: {}", processes.rank(), processes.size(), message);
}

int leave_lost(ProcessGroup& processes, const LostProcess& error, const std::string& remedy) {
  std::vector<int> missing;
  if (!processes.fails_first(true, missing)) return 1;
  throw LaunchError(message_of_lost(missing, processes.size(), error, remedy));
}

}  // namespace

int together(const std::string& remedy, const std::function<int(ProcessGroup* processes)>& work) {
  const Launch launch = read_launch();
  if (launch.size == 1) return work(nullptr);
  ProcessGroup processes(launch);
  try {
    processes.meet();
    return work(&processes);
  } catch (const LostProcess& error) {
    return leave_lost(processes, error, remedy);
  } catch (const LaunchError& error) {
    return leave(processes, error.what());
  } catch (const Error& error) {
    return leave(processes, of_this_rank(processes, message_of(error)));
  } catch (const std::exception& error) {
    return leave(processes, of_this_rank(processes, error.what()));
  }
}

std::string ranks_in_words(const std::vector<int>& ranks) {
  return fmt::format("rank{} {}", ranks.size() == 1 ? "" : "s", fmt::join(ranks, ", "));
}

int own_cores(const ProcessGroup* processes) {
  return std::max(1, available_cores() / processes_here(processes));
}

std::int64_t own_free_memory(at::Device device, const ProcessGroup* processes) {
  return free_memory(device) / (device.is_cpu() || at::getNumGPUs() == 1 ? processes_here(processes) : 1);
}

at::Device read_own_device(const Options& options, ProcessGroup* processes) {
  const at::Device device = read_device(options);
  if (processes == nullptr) return device;
  require_same(*processes, {{"kind of device", device.is_cpu() ? "CPU" : "GPU"}});
  if (device.is_cpu() || at::getNumGPUs() == 1) return device;
  if (options.text("device").find(':') != std::string::npos) {
    throw UsageError(
        fmt::format("--device: got {}, where each of several processes takes a GPU of its own; give cuda",
                    options.text("device")));
  }
  return choose_device(fmt::format("cuda:{}", processes->local_rank()));
}

std::vector<int> others_than_first(ProcessGroup& processes, const std::string& text) {
  const std::vector<bool> same = processes.from_all(processes.from_first(text) == text);
  std::vector<int> others;
  for (int rank = 0; rank < processes.size(); ++rank) {
    if (!same[static_cast<std::size_t>(rank)]) others.push_back(rank);
  }
  return others;
}

void require_same(ProcessGroup& processes, const std::vector<std::pair<std::string, std::string>>& texts) {
  for (const auto& [name, text] : texts) {
    const std::vector<int> others = others_than_first(processes, text);
    if (others.empty()) continue;
    throw LaunchError(fmt::format("{} of {}: other {} than rank 0; start all alike", ranks_in_words(others),
                                  processes.size(), name));
  }
}

}  // namespace handgrad::app
