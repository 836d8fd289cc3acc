// Which tensors of a file are which layers of a network.
#include "handgrad/models/layer_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <utility>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"

namespace handgrad {

namespace {

constexpr std::size_t most_layers = 1000;
constexpr std::size_t most_tries = 1000000;  // of a module as the next one

struct Module {
  std::string name;
  std::map<std::string, std::vector<std::int64_t>> shapes;  // by the last part of the tensor's name

  bool has(const char* leaf) const { return shapes.count(leaf) > 0; }
  std::int64_t outputs() const { return shapes.at("weight").front(); }
  std::int64_t inputs() const { return shapes.at("weight").back(); }
};

using Modules = std::vector<const Module*>;

// A name in two parts: what it has besides numbers, and its numbers, which compare as such.
struct NumberedName {
  std::string kind;
  std::vector<std::pair<std::size_t, std::string>> numbers;  // digits without leading zeros, and how many
};

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

NumberedName numbered(const std::string& name) {
  NumberedName result;
  for (std::size_t i = 0; i < name.size();) {
    if (!is_digit(name[i])) {
      result.kind += name[i++];
      continue;
    }
    std::size_t end = i;
    while (end < name.size() && is_digit(name[end])) ++end;
    const std::size_t begin = std::min(name.find_first_not_of('0', i), end);
    result.numbers.emplace_back(end - begin, name.substr(begin, end - begin));
    result.kind += '0';
    i = end;
  }
  return result;
}

// How many places `b` stands behind `a` in the nn.Sequential that names both by their numbers.
std::optional<std::int64_t> distance(const std::string& a, const std::string& b) {
  const auto place = [](const std::string& name) {
    const std::size_t begin = name.rfind('.') + 1;  // 0 where there is no dot
    std::int64_t number = 0;
    const char* end = name.data() + name.size();
    const auto [stopped, error] = std::from_chars(name.data() + begin, end, number);
    const bool good = error == std::errc() && stopped == end && number >= 0;
    return std::pair(name.substr(0, begin), good ? std::optional(number) : std::nullopt);
  };
  const auto [of_a, number_a] = place(a);
  const auto [of_b, number_b] = place(b);
  if (of_a != of_b || !number_a || !number_b) return std::nullopt;
  return *number_b - *number_a;
}

// The orders in which modules of the same kind of name come by their numbers, and each fits those before it.
class OrderSearch {
 public:
  using Fits = std::function<bool(const Modules& before, const Module& next)>;

  OrderSearch(const Modules& modules, Fits fits) : count_(modules.size()), fits_(std::move(fits)) {
    std::map<std::string, std::vector<std::pair<NumberedName, const Module*>>> kinds;
    for (const Module* module : modules) {
      NumberedName name = numbered(module->name);
      kinds[name.kind].emplace_back(std::move(name), module);
    }
    for (auto& [kind, members] : kinds) {
      std::sort(members.begin(), members.end(),
                [](const auto& a, const auto& b) { return a.first.numbers < b.first.numbers; });
      Queue queue;
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (i > 0 && members[i].first.numbers == members[i - 1].first.numbers) equal_numbers_ = true;
        queue.modules.push_back(members[i].second);
      }
      queues_.push_back(std::move(queue));
    }
    if (!equal_numbers_) extend();
  }

  // At most two.
  const std::vector<Modules>& found() const { return found_; }
  // Whether there may be others than those found.
  bool given_up() const { return equal_numbers_ || tries_ > most_tries; }

 private:
  struct Queue {
    Modules modules;
    std::size_t taken = 0;
  };

  void extend() {
    if (order_.size() == count_) {
      found_.push_back(order_);
      return;
    }
    for (Queue& queue : queues_) {
      if (found_.size() == 2 || ++tries_ > most_tries) return;
      if (queue.taken == queue.modules.size() || !fits_(order_, *queue.modules[queue.taken])) continue;
      order_.push_back(queue.modules[queue.taken++]);
      extend();
      order_.pop_back();
      --queue.taken;
    }
  }

  std::size_t count_, tries_ = 0;
  Fits fits_;
  bool equal_numbers_ = false;
  std::vector<Queue> queues_;
  Modules order_;
  std::vector<Modules> found_;
};

class Finder {
 public:
  Finder(const std::string& file, const std::vector<NamedShape>& tensors, FileOrder order)
      : file_(file), tensors_(tensors), file_order_(order) {}

  std::vector<LayerNames> find() {
    sort_into_modules();
    if (linear_.empty()) refuse("has no Linear layer");
    if (linear_.size() > most_layers) {
      refuse(fmt::format("has {} layers, more than the {} that are read", linear_.size(), most_layers));
    }
    linear_ = in_order("Linear layers", linear_, [](const Modules& before, const Module& next) {
      return before.empty() || before.back()->outputs() == next.inputs();
    });
    const std::size_t hidden = linear_.size() - 1;
    if (!batch_norm_.empty()) {
      if (batch_norm_.size() != hidden) {
        refuse(fmt::format("has {} for {}", counted(batch_norm_.size(), "batch norm"),
                           counted(hidden, "hidden layer")));
      }
      batch_norm_ = in_order("batch norms", batch_norm_, [&](const Modules& before, const Module& next) {
        return linear_[before.size()]->outputs() == next.outputs();
      });
    }
    std::vector<LayerNames> layers;
    for (std::size_t l = 0; l < linear_.size(); ++l) {
      layers.push_back({linear_[l]->name, std::nullopt, std::nullopt});
      if (l < batch_norm_.size()) layers.back().batch_norm = batch_norm_[l]->name;
    }
    std::optional<BatchNormPlace> place;
    for (std::size_t l = 0; l < hidden; ++l) {
      const std::optional<BatchNormPlace> here = find_place(layers[l], layers[l + 1].linear);
      if (here && place && *here != *place) {
        refuse(fmt::format("batch norm stands {} the activation behind {}, and {} it in a layer before that",
                           name_of(*here), of(*linear_[l], "weight"), name_of(*place)));
      }
      if (here) place = here;
    }
    for (LayerNames& layer : layers) layer.batch_norm_place = place;
    return layers;
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    const std::string found = printable_list(tensors_.size(), [&](std::size_t i) {
      return fmt::format("{} [{}]", printable_excerpt(tensors_[i].name), fmt::join(tensors_[i].shape, " × "));
    });
    throw ModelError(fmt::format(
        "{}: {}; found: {}; expected: of each Linear layer NAME.weight [outputs × inputs] and NAME.bias "
        "[outputs], and of batch norm, before or after the ReLU of every hidden layer or of none, NAME.weight, bias, "
        "running_mean and running_var [units]; in one order only, as those of nn.Sequential(Linear, ReLU, …, "
        "Linear) are: 0.weight, 0.bias, 2.weight, …",
        printable(file_), reason, found));
  }

  void sort_into_modules() {
    std::map<std::string, std::size_t> places;
    for (const NamedShape& tensor : tensors_) {
      const std::size_t dot = tensor.name.rfind('.');
      if (dot == 0) refuse(fmt::format("{} names no module", printable_excerpt(tensor.name)));
      const std::string name = dot == std::string::npos ? "" : tensor.name.substr(0, dot);
      const auto [place, is_new] = places.try_emplace(name, modules_.size());
      if (is_new) modules_.push_back({name, {}});
      modules_[place->second].shapes[tensor.name.substr(dot + 1)] = tensor.shape;  // npos + 1 is 0
    }
    for (const Module& module : modules_) {
      for (const auto& [leaf, shape] : module.shapes) {
        static constexpr const char* known[] = {"weight", "bias", "running_mean", "running_var",
                                                "num_batches_tracked"};
        if (std::find(std::begin(known), std::end(known), leaf) == std::end(known)) {
          refuse(fmt::format("{} belongs to no Linear layer and no batch norm", of(module, leaf)));
        }
      }
      for (const char* leaf : {"weight", "bias"}) {
        if (!module.has(leaf)) {
          refuse(fmt::format("{} is there without {}", of(module, module.shapes.begin()->first),
                             of(module, leaf)));
        }
      }
      const std::size_t axes = module.shapes.at("weight").size();
      if (axes == 2) {
        check_linear(module);
        linear_.push_back(&module);
      } else if (axes == 1) {
        check_batch_norm(module);
        batch_norm_.push_back(&module);
      } else {
        refuse(fmt::format("{} has {} axes; those of a Linear layer are 2, of batch norm 1",
                           of(module, "weight"), axes));
      }
    }
  }

  static std::string of(const Module& module, const std::string& leaf) {
    return printable_excerpt(tensor_name(module.name, leaf));
  }

  // All but the weight are a number for each output.
  void check_sizes(const Module& module) const {
    for (const auto& [leaf, shape] : module.shapes) {
      if (leaf == "weight" || leaf == "num_batches_tracked") continue;
      if (shape == std::vector<std::int64_t>{module.outputs()}) continue;
      refuse(fmt::format("{} is [{}], but {} needs [{}]", of(module, leaf), fmt::join(shape, " × "),
                         of(module, "weight"), module.outputs()));
    }
  }

  void check_linear(const Module& module) const {
    for (const char* leaf : {"running_mean", "running_var", "num_batches_tracked"}) {
      if (module.has(leaf)) {
        refuse(fmt::format("{} belongs to batch norm, but {} is that of a Linear layer", of(module, leaf),
                           of(module, "weight")));
      }
    }
    check_sizes(module);
  }

  void check_batch_norm(const Module& module) const {
    for (const char* leaf : {"running_mean", "running_var"}) {
      if (!module.has(leaf)) {
        refuse(fmt::format("{} can only be that of batch norm, but there is no {}", of(module, "weight"),
                           of(module, leaf)));
      }
    }
    check_sizes(module);
  }

  static std::string listed(const Modules& modules) {
    return printable_list(modules.size(), [&](std::size_t i) { return of(*modules[i], "weight"); });
  }

  Modules in_order(const char* what, const Modules& modules, const OrderSearch::Fits& fits) const {
    const OrderSearch search(modules, fits);
    const std::vector<Modules>& found = search.found();
    if (found.size() > 1) {
      refuse(fmt::format("its {} can stand in more than one order: {}, or: {}", what, listed(found[0]),
                         listed(found[1])));
    }
    if (search.given_up()) refuse(fmt::format("the order of its {} cannot be told from their names", what));
    if (found.empty()) {
      refuse(fmt::format("its {} fit together in no order that agrees with their numbers", what));
    }
    if (file_order_ == FileOrder::of_making && found[0] != modules && fit_as_they_stand(modules, fits)) {
      refuse(fmt::format("its {} fit together by their numbers, {}, and as they stand in the file, {}", what,
                         listed(found[0]), listed(modules)));
    }
    return found[0];
  }

  static bool fit_as_they_stand(const Modules& modules, const OrderSearch::Fits& fits) {
    Modules before;
    for (const Module* module : modules) {
      if (!fits(before, *module)) return false;
      before.push_back(module);
    }
    return true;
  }

  // Where batch norm stands, by the room that numbers leave for a ReLU in front of it or behind it.
  std::optional<BatchNormPlace> find_place(const LayerNames& layer, const std::string& next) const {
    const std::string linear = printable_excerpt(tensor_name(layer.linear, "weight"));
    const std::string next_linear = printable_excerpt(tensor_name(next, "weight"));
    const std::string no_room =
        fmt::format("between {} and {} there is no room for a ReLU", linear, next_linear);
    if (!layer.batch_norm) {
      if (distance(layer.linear, next).value_or(2) < 2) refuse(no_room);
      return std::nullopt;
    }
    const std::optional<std::int64_t> in_front = distance(layer.linear, *layer.batch_norm);
    const std::optional<std::int64_t> behind = distance(*layer.batch_norm, next);
    if (!in_front && !behind) return std::nullopt;
    const bool room_in_front = in_front.value_or(2) > 1;
    const bool room_behind = behind.value_or(room_in_front ? 1 : 2) > 1;
    const bool backwards = in_front.value_or(1) < 1 || behind.value_or(1) < 1;
    if (backwards || (!room_in_front && !room_behind)) refuse(no_room);
    if (room_in_front && room_behind) {
      const std::string norm = printable_excerpt(tensor_name(*layer.batch_norm, "weight"));
      refuse(fmt::format("between {} and {} there is room for the ReLU, and in front of {} there {} too",
                         norm, next_linear, norm, in_front ? "is" : "may be"));
    }
    return room_in_front ? BatchNormPlace::after : BatchNormPlace::before;
  }

  const std::string& file_;
  const std::vector<NamedShape>& tensors_;
  FileOrder file_order_;
  std::vector<Module> modules_;
  Modules linear_, batch_norm_;
};

}  // namespace

std::string tensor_name(const std::string& module, const std::string& leaf) {
  return module.empty() ? leaf : module + '.' + leaf;
}

std::vector<LayerNames> find_layers(const std::string& file, const std::vector<NamedShape>& tensors,
                                    FileOrder order) {
  return Finder(file, tensors, order).find();
}

}  // namespace handgrad
