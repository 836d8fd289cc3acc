// A dict of tensors in a pickle: found among what the pickle made.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <utility>

#include "handgrad/base/printable.h"
#include "handgrad/models/pickle.h"
#include "handgrad/models/pickle_machine.h"

namespace handgrad {

namespace {

using Object = PickledObject;
using Kind = PickledObject::Kind;

class StateDictReader {
 public:
  StateDictReader(const Unpickled& pickle, const std::string& file) : pickle_(pickle), file_(file) {}

  std::vector<PickledTensor> read() const {
    if (pickle_.objects[pickle_.result].kind != Kind::dict)
      refuse_pickle_contents(file_, "what it holds is no dict");
    const Object& state_dict = pickle_.objects[find_state_dict(pickle_.result)];
    std::vector<PickledTensor> tensors;
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i + 1 < state_dict.items.size(); i += 2) {
      const Object& key = pickle_.objects[state_dict.items[i]];
      const Object& value = pickle_.objects[state_dict.items[i + 1]];
      if (key.kind != Kind::text || key.text.size() > longest_pickled_name) {
        refuse_pickle_contents(file_, "a key of the dict is no text, or a very long one");
      }
      if (value.kind != Kind::tensor) {
        refuse_pickle_contents(file_, fmt::format("the entry {} is no tensor", printable_excerpt(key.text)));
      }
      // As in Python, a key that comes again keeps its place, and the last value wins.
      const auto [place, is_new] = places.try_emplace(key.text, tensors.size());
      if (is_new) tensors.emplace_back();
      tensors[place->second] = pickle_.tensors[static_cast<std::size_t>(value.number)];
      tensors[place->second].name = key.text;
    }
    return tensors;
  }

 private:
  // A dict, and where it stands: in which other one of a list, under which key.
  struct Place {
    std::size_t dict, outer, key;
  };

  bool is_weight(std::size_t key, std::size_t value) const {
    constexpr std::string_view ending = ".weight";
    if (pickle_.objects[key].kind != Kind::text || pickle_.objects[value].kind != Kind::tensor) return false;
    const std::string_view name = pickle_.objects[key].text;
    return name == ending.substr(1) ||
           (name.size() > ending.size() && name.substr(name.size() - ending.size()) == ending);
  }

  // Where the parameters are: the only dict with a tensor called weight, be it the whole or inside of it,
  // beside an optimizer or what else was saved; otherwise the whole, if that holds tensors and no other.
  std::size_t find_state_dict(std::size_t whole) const {
    std::vector<Place> dicts = {{whole, 0, 0}};
    std::vector<bool> seen(pickle_.objects.size());
    seen[whole] = true;
    std::vector<std::size_t> found;
    bool only_tensors = true;
    for (std::size_t d = 0; d < dicts.size(); ++d) {
      const std::vector<std::size_t>& items = pickle_.objects[dicts[d].dict].items;
      bool has_weight = false;
      for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
        const std::size_t value = items[i + 1];
        has_weight = has_weight || is_weight(items[i], value);
        only_tensors = only_tensors && pickle_.objects[value].kind == Kind::tensor;
        if (pickle_.objects[value].kind != Kind::dict || seen[value]) continue;
        seen[value] = true;
        dicts.push_back({value, d, items[i]});
      }
      if (has_weight) found.push_back(d);
    }
    if (found.size() > 1) {
      const auto path_of = [&](std::size_t i) { return path(dicts, found[i]); };
      refuse_pickle_contents(file_, "it has several: " + printable_list(found.size(), path_of));
    }
    if (found.size() == 1) return dicts[found.front()].dict;
    if (!only_tensors) refuse_pickle_contents(file_, "found: " + entries(dicts));
    return whole;
  }

  std::string key_text(std::size_t key) const {
    const Object& object = pickle_.objects[key];
    return object.kind == Kind::text     ? printable_excerpt(object.text)
           : object.kind == Kind::number ? std::to_string(object.number)
                                         : "(no text)";
  }

  // The keys that lead to a dict: "ema.state_dict".
  std::string path(const std::vector<Place>& dicts, std::size_t d) const {
    if (d == 0) return "the whole";
    std::string text = key_text(dicts[d].key);
    constexpr int most_keys = 4;
    int keys = 1;
    while ((d = dicts[d].outer) != 0) {
      if (++keys > most_keys) return "…." + text;
      text.insert(0, key_text(dicts[d].key) + '.');
    }
    return text;
  }

  // What dicts hold besides other dicts.
  std::string entries(const std::vector<Place>& dicts) const {
    std::vector<std::pair<std::size_t, std::size_t>> list;  // position in dicts, in its items
    for (std::size_t d = 0; d < dicts.size(); ++d) {
      const std::vector<std::size_t>& items = pickle_.objects[dicts[d].dict].items;
      for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
        if (pickle_.objects[items[i + 1]].kind != Kind::dict) list.emplace_back(d, i);
      }
    }
    return printable_list(list.size(), [&](std::size_t i) {
      const auto [d, at] = list[i];
      const std::vector<std::size_t>& items = pickle_.objects[dicts[d].dict].items;
      const Object& value = pickle_.objects[items[at + 1]];
      const std::string name = (d == 0 ? "" : path(dicts, d) + '.') + key_text(items[at]);
      if (value.kind != Kind::tensor) return name + " [no tensor]";
      const PickledTensor& tensor = pickle_.tensors[static_cast<std::size_t>(value.number)];
      return fmt::format("{} [{}]", name, fmt::join(tensor.shape, " × "));
    });
  }

  const Unpickled& pickle_;
  const std::string& file_;
};

}  // namespace

std::vector<PickledTensor> unpickle_tensors(std::string_view pickle, const std::string& file) {
  const Unpickled unpickled = run_pickle(pickle, file);
  return StateDictReader(unpickled, file).read();
}

}  // namespace handgrad
