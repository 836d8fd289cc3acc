// A dict of tensors as a pickle: a writer of that one object, and a stack machine that reads it.
#include "handgrad/models/pickle.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/files/little_endian.h"

namespace handgrad {

namespace {

constexpr const char* rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr const char* rebuild_parameter = "torch._utils._rebuild_parameter";
constexpr const char* ordered_dict = "collections.OrderedDict";

// A pickle can name one object any number of times: what is copied for each tensor is small.
constexpr std::size_t longest_name = 128;
constexpr std::size_t most_axes = 8;

enum class Op : unsigned char {
  proto = 0x80,
  stop = '.',
  mark = '(',
  none = 'N',
  new_true = 0x88,
  new_false = 0x89,
  binint = 'J',
  binint1 = 'K',
  binint2 = 'M',
  long1 = 0x8a,
  binfloat = 'G',
  binunicode = 'X',
  empty_tuple = ')',
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  tuple = 't',
  empty_list = ']',
  append = 'a',
  appends = 'e',
  empty_dict = '}',
  setitem = 's',
  setitems = 'u',
  global = 'c',
  binpersid = 'Q',
  reduce = 'R',
  build = 'b',
  binput = 'q',
  long_binput = 'r',
  binget = 'h',
  long_binget = 'j',
};

class Writer {
 public:
  void op(Op code) { bytes_ += static_cast<char>(code); }

  void text(const std::string& text) {
    op(Op::binunicode);
    little_endian(text.size(), 4);
    bytes_ += text;
  }

  void number(std::int64_t value) {
    if (value <= 0x7fffffff) {
      op(Op::binint);
      little_endian(static_cast<std::uint64_t>(value), 4);
    } else {
      op(Op::long1);
      bytes_ += '\x08';
      little_endian(static_cast<std::uint64_t>(value), 8);
    }
  }

  void numbers(const std::vector<std::int64_t>& values) {
    op(Op::mark);
    for (const std::int64_t value : values) number(value);
    op(Op::tuple);
  }

  // "module.name"
  void global(const std::string& name) {
    const std::size_t dot = name.rfind('.');
    op(Op::global);
    bytes_ += name.substr(0, dot) + '\n' + name.substr(dot + 1) + '\n';
  }

  void little_endian(std::uint64_t value, std::size_t count) { bytes_ += to_little_endian(value, count); }

  std::string bytes() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Objects never hold objects but by their position in one list, so that neither cycles nor deep nesting, both
// of which a pickle can build, can do harm.
class Machine {
 public:
  Machine(std::string_view pickle, const std::string& file) : pickle_(pickle), file_(file) {}

  std::vector<PickledTensor> run() {
    while (true) {
      const auto op = static_cast<Op>(byte());
      if (op == Op::stop) break;
      step(op);
    }
    const std::size_t result = pop();
    if (objects_[result].kind != Kind::dict) refuse_contents("what it holds is no dict");
    const Object& state_dict = objects_[find_state_dict(result)];
    std::vector<PickledTensor> tensors;
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i + 1 < state_dict.items.size(); i += 2) {
      const Object& key = objects_[state_dict.items[i]];
      const Object& value = objects_[state_dict.items[i + 1]];
      if (key.kind != Kind::text || key.text.size() > longest_name) {
        refuse_contents("a key of the dict is no text, or a very long one");
      }
      if (value.kind != Kind::tensor) {
        refuse_contents(fmt::format("the entry {} is no tensor", printable_excerpt(key.text)));
      }
      // As in Python, a key that comes again keeps its place, and the last value wins.
      const auto [place, is_new] = places.try_emplace(key.text, tensors.size());
      if (is_new) tensors.emplace_back();
      tensors[place->second] = tensors_[static_cast<std::size_t>(value.number)];
      tensors[place->second].name = key.text;
    }
    return tensors;
  }

 private:
  enum class Kind { none, flag, number, real, text, tuple, list, dict, global, storage, tensor };

  struct Object {
    Kind kind = Kind::none;
    std::int64_t number = 0;  // of a tensor: its position in tensors_
    std::string text;         // of a global: its name
    // Positions in objects_; of a dict: key, value, key, value, …; of a storage: type, key.
    std::vector<std::size_t> items;
  };

  [[noreturn]] void refuse(const std::string& reason) const {
    throw ModelError(
        fmt::format("{}: its pickle is damaged: {}; write the file again", printable(file_), reason));
  }

  [[noreturn]] void refuse_contents(const std::string& reason) const {
    throw ModelError(fmt::format(
        "{}: holds no single state dict: {}; save with torch.save(model.state_dict(), file). Nothing in the "
        "file was run",
        printable(file_), reason));
  }

  // A dict, and where it stands: in which other one of a list, under which key.
  struct Place {
    std::size_t dict, outer, key;
  };

  bool is_weight(std::size_t key, std::size_t value) const {
    constexpr std::string_view ending = ".weight";
    if (objects_[key].kind != Kind::text || objects_[value].kind != Kind::tensor) return false;
    const std::string_view name = objects_[key].text;
    return name == ending.substr(1) ||
           (name.size() > ending.size() && name.substr(name.size() - ending.size()) == ending);
  }

  // Where the parameters are: the only dict with a tensor called weight, be it the whole or inside of it,
  // beside an optimizer or what else was saved; otherwise the whole, if that holds tensors and no other.
  std::size_t find_state_dict(std::size_t whole) const {
    std::vector<Place> dicts = {{whole, 0, 0}};
    std::vector<bool> seen(objects_.size());
    seen[whole] = true;
    std::vector<std::size_t> found;
    bool only_tensors = true;
    for (std::size_t d = 0; d < dicts.size(); ++d) {
      const std::vector<std::size_t>& items = objects_[dicts[d].dict].items;
      bool has_weight = false;
      for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
        const std::size_t value = items[i + 1];
        has_weight = has_weight || is_weight(items[i], value);
        only_tensors = only_tensors && objects_[value].kind == Kind::tensor;
        if (objects_[value].kind != Kind::dict || seen[value]) continue;
        seen[value] = true;
        dicts.push_back({value, d, items[i]});
      }
      if (has_weight) found.push_back(d);
    }
    if (found.size() > 1) {
      const auto path_of = [&](std::size_t i) { return path(dicts, found[i]); };
      refuse_contents("it has several: " + printable_list(found.size(), path_of));
    }
    if (found.size() == 1) return dicts[found.front()].dict;
    if (!only_tensors) refuse_contents("found: " + entries(dicts));
    return whole;
  }

  std::string key_text(std::size_t key) const {
    const Object& object = objects_[key];
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
      const std::vector<std::size_t>& items = objects_[dicts[d].dict].items;
      for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
        if (objects_[items[i + 1]].kind != Kind::dict) list.emplace_back(d, i);
      }
    }
    return printable_list(list.size(), [&](std::size_t i) {
      const auto [d, at] = list[i];
      const std::vector<std::size_t>& items = objects_[dicts[d].dict].items;
      const Object& value = objects_[items[at + 1]];
      const std::string name = (d == 0 ? "" : path(dicts, d) + '.') + key_text(items[at]);
      if (value.kind != Kind::tensor) return name + " [no tensor]";
      const PickledTensor& tensor = tensors_[static_cast<std::size_t>(value.number)];
      return fmt::format("{} [{}]", name, fmt::join(tensor.shape, " × "));
    });
  }

  std::string_view take(std::size_t count) {
    if (count > pickle_.size() - position_) refuse("it ends too early");
    const std::string_view taken = pickle_.substr(position_, count);
    position_ += count;
    return taken;
  }

  unsigned char byte() { return static_cast<unsigned char>(take(1).front()); }

  std::uint64_t little_endian(std::size_t count) { return from_little_endian(take(count)); }

  std::string line() {
    const std::size_t end = pickle_.find('\n', position_);
    if (end == std::string_view::npos) refuse("a name does not end");
    std::string text(take(end - position_));
    take(1);
    return text;
  }

  std::size_t make(Object object) {
    objects_.push_back(std::move(object));
    return objects_.size() - 1;
  }

  void push(Object object) { stack_.push_back(make(std::move(object))); }

  void push_number(std::int64_t value) { push({Kind::number, value, {}, {}}); }

  std::size_t pop() {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) refuse("an operation finds too little on the stack");
    const std::size_t top = stack_.back();
    stack_.pop_back();
    return top;
  }

  // What lies above the last mark.
  std::vector<std::size_t> pop_to_mark() {
    if (marks_.empty()) refuse("an operation finds no mark on the stack");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<std::size_t> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  void push_tuple(std::size_t count) {
    Object tuple{Kind::tuple, 0, {}, std::vector<std::size_t>(count)};
    for (std::size_t i = count; i-- > 0;) tuple.items[i] = pop();
    push(std::move(tuple));
  }

  // Adds to the list or dict on top of the stack.
  void extend(Kind kind, const std::vector<std::size_t>& items) {
    const std::size_t target = pop();
    stack_.push_back(target);
    Object& object = objects_[target];
    if (object.kind != kind || (kind == Kind::dict && items.size() % 2 != 0)) {
      refuse("entries are added to what cannot take them");
    }
    object.items.insert(object.items.end(), items.begin(), items.end());
  }

  void remember(std::uint64_t key) {
    const std::size_t top = pop();
    stack_.push_back(top);
    memo_[key] = top;
  }

  void recall(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse("it refers to an object that was not made");
    stack_.push_back(found->second);
  }

  void step(Op op) {
    switch (op) {
      case Op::proto:
        if (const unsigned version = byte(); version < 2 || version > 5) {
          refuse(fmt::format("its protocol {} is unknown", version));
        }
        return;
      case Op::mark:
        marks_.push_back(stack_.size());
        return;
      case Op::none:
        return push({});
      case Op::new_true:
      case Op::new_false:
        return push({Kind::flag, 0, {}, {}});
      case Op::binint:
        return push_number(static_cast<std::int32_t>(little_endian(4)));
      case Op::binint1:
        return push_number(byte());
      case Op::binint2:
        return push_number(static_cast<std::int64_t>(little_endian(2)));
      case Op::long1:
        return push_long();
      case Op::binfloat:
        take(8);
        return push({Kind::real, 0, {}, {}});
      case Op::binunicode: {
        const std::uint64_t size = little_endian(4);
        return push({Kind::text, 0, std::string(take(size)), {}});
      }
      case Op::empty_tuple:
        return push_tuple(0);
      case Op::tuple1:
        return push_tuple(1);
      case Op::tuple2:
        return push_tuple(2);
      case Op::tuple3:
        return push_tuple(3);
      case Op::tuple:
        return push({Kind::tuple, 0, {}, pop_to_mark()});
      case Op::empty_list:
        return push({Kind::list, 0, {}, {}});
      case Op::append:
        return extend(Kind::list, {pop()});
      case Op::appends:
        return extend(Kind::list, pop_to_mark());
      case Op::empty_dict:
        return push({Kind::dict, 0, {}, {}});
      case Op::setitem: {
        const std::size_t value = pop();
        const std::size_t key = pop();
        return extend(Kind::dict, {key, value});
      }
      case Op::setitems:
        return extend(Kind::dict, pop_to_mark());
      case Op::global: {
        const std::string module = line();
        return push_global(module + '.' + line());
      }
      case Op::binpersid:
        return push_storage(pop());
      case Op::reduce: {
        const std::size_t arguments = pop();
        return call(pop(), arguments);
      }
      case Op::build:  // of an OrderedDict: attributes of the model's modules, such as their version
        pop();
        stack_.push_back(pop());
        return;
      case Op::binput:
        return remember(byte());
      case Op::long_binput:
        return remember(little_endian(4));
      case Op::binget:
        return recall(byte());
      case Op::long_binget:
        return recall(little_endian(4));
      case Op::stop:
        return;
    }
    refuse_contents(fmt::format("its pickle has the operation {:#04x}, which such a dict has no need of",
                                static_cast<unsigned>(op)));
  }

  void push_long() {
    const std::size_t size = byte();
    if (size > 8) refuse("a number has more than 64 bits");
    std::uint64_t value = little_endian(size);
    const bool negative = size > 0 && (value >> (8 * size - 1) & 1) != 0;
    if (negative && size < 8) value |= ~std::uint64_t{0} << (8 * size);
    push_number(static_cast<std::int64_t>(value));
  }

  void push_global(const std::string& name) {
    constexpr std::string_view torch = "torch.";
    constexpr std::string_view storage = "Storage";
    const bool is_storage = name.size() > torch.size() + storage.size() &&
                            name.compare(0, torch.size(), torch) == 0 &&
                            name.find('.', torch.size()) == std::string::npos &&
                            name.compare(name.size() - storage.size(), storage.size(), storage) == 0;
    if (!is_storage && name != rebuild_tensor && name != rebuild_parameter && name != ordered_dict) {
      refuse_contents(fmt::format("it names {}, which such a dict has no need of", printable_excerpt(name)));
    }
    push({Kind::global, 0, is_storage ? name.substr(torch.size()) : name, {}});
  }

  const Object& item(const Object& tuple, std::size_t index, Kind kind) const {
    if (tuple.kind != Kind::tuple || index >= tuple.items.size() ||
        objects_[tuple.items[index]].kind != kind) {
      refuse("a tensor is not made of what tensors are made of");
    }
    return objects_[tuple.items[index]];
  }

  // ("storage", torch.FloatStorage, key, device, count of items)
  void push_storage(std::size_t position) {
    const Object& tuple = objects_[position];
    const std::string& key = item(tuple, 2, Kind::text).text;
    const std::string& type = item(tuple, 1, Kind::global).text;
    if (item(tuple, 0, Kind::text).text != "storage" || key.size() > longest_name ||
        type.size() > longest_name) {
      refuse("it refers to something that is no storage");
    }
    push({Kind::storage, item(tuple, 4, Kind::number).number, {}, {tuple.items[1], tuple.items[2]}});
  }

  void call(std::size_t function, std::size_t arguments) {
    if (objects_[function].kind != Kind::global) refuse("it calls what is no function");
    const std::string name = objects_[function].text;
    if (name == ordered_dict) {
      if (objects_[arguments].kind != Kind::tuple || !objects_[arguments].items.empty()) {
        refuse("an OrderedDict begins with contents");
      }
      push({Kind::dict, 0, {}, {}});
    } else if (name == rebuild_tensor) {
      push_tensor(objects_[arguments]);
    } else if (name == rebuild_parameter) {
      item(objects_[arguments], 0, Kind::tensor);
      stack_.push_back(objects_[arguments].items[0]);
    } else {
      refuse_contents(fmt::format("it calls {}, which such a dict has no need of", printable_excerpt(name)));
    }
  }

  std::vector<std::int64_t> numbers(const Object& tuple) const {
    if (tuple.items.size() > most_axes) refuse(fmt::format("a tensor has more than {} axes", most_axes));
    std::vector<std::int64_t> values;
    for (std::size_t i = 0; i < tuple.items.size(); ++i) {
      values.push_back(item(tuple, i, Kind::number).number);
    }
    return values;
  }

  // (storage, offset, shape, stride, requires_grad, hooks)
  void push_tensor(const Object& arguments) {
    const Object& storage = item(arguments, 0, Kind::storage);
    PickledTensor tensor;
    tensor.storage_type = objects_[storage.items[0]].text;
    tensor.storage = objects_[storage.items[1]].text;
    tensor.storage_size = storage.number;
    tensor.offset = item(arguments, 1, Kind::number).number;
    tensor.shape = numbers(item(arguments, 2, Kind::tuple));
    tensor.stride = numbers(item(arguments, 3, Kind::tuple));
    check_extent(tensor);
    tensors_.push_back(std::move(tensor));
    push({Kind::tensor, static_cast<std::int64_t>(tensors_.size()) - 1, {}, {}});
  }

  // Every item lies within the storage; and there are no more than it has, as a stride of 0 could feign.
  void check_extent(const PickledTensor& tensor) const {
    std::int64_t last = tensor.offset;
    std::int64_t count = 1;
    bool good = tensor.shape.size() == tensor.stride.size() && tensor.offset >= 0 && tensor.storage_size >= 0;
    for (std::size_t d = 0; good && d < tensor.shape.size(); ++d) {
      std::int64_t reach = 0;
      good = tensor.shape[d] >= 1 && tensor.stride[d] >= 0 &&
             !__builtin_mul_overflow(tensor.shape[d] - 1, tensor.stride[d], &reach) &&
             !__builtin_add_overflow(last, reach, &last) &&
             !__builtin_mul_overflow(count, tensor.shape[d], &count);
    }
    if (!good || last >= tensor.storage_size || count > tensor.storage_size) {
      refuse("a tensor reaches beyond its storage");
    }
  }

  std::string_view pickle_;
  const std::string& file_;
  std::size_t position_ = 0;
  std::vector<Object> objects_;
  std::vector<PickledTensor> tensors_;
  std::vector<std::size_t> stack_;  // positions in objects_
  std::vector<std::size_t> marks_;  // heights of the stack
  std::map<std::uint64_t, std::size_t> memo_;
};

}  // namespace

std::string pickle_tensors(const std::vector<PickledTensor>& tensors) {
  Writer writer;
  writer.op(Op::proto);
  writer.little_endian(2, 1);
  writer.op(Op::empty_dict);
  writer.op(Op::mark);
  for (const PickledTensor& tensor : tensors) {
    writer.text(tensor.name);
    writer.global(rebuild_tensor);
    writer.op(Op::mark);
    writer.op(Op::mark);
    writer.text("storage");
    writer.global("torch." + tensor.storage_type);
    writer.text(tensor.storage);
    writer.text("cpu");
    writer.number(tensor.storage_size);
    writer.op(Op::tuple);
    writer.op(Op::binpersid);
    writer.number(tensor.offset);
    writer.numbers(tensor.shape);
    writer.numbers(tensor.stride);
    writer.op(Op::new_false);  // requires_grad
    writer.global(ordered_dict);
    writer.op(Op::empty_tuple);
    writer.op(Op::reduce);  // no hooks
    writer.op(Op::tuple);
    writer.op(Op::reduce);
  }
  writer.op(Op::setitems);
  writer.op(Op::stop);
  return std::move(writer).bytes();
}

std::vector<PickledTensor> unpickle_tensors(std::string_view pickle, const std::string& file) {
  return Machine(pickle, file).run();
}

}  // namespace handgrad
