// The stack machine of pickles.
#include "handgrad/models/pickle_machine.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/little_endian.h"
#include "handgrad/models/pickle_ops.h"

namespace handgrad {

namespace {

using Op = PickleOp;
using Object = PickledObject;
using Kind = PickledObject::Kind;

constexpr std::size_t most_axes = 8;

class PickleMachine {
 public:
  PickleMachine(std::string_view pickle, const std::string& file) : pickle_(pickle), file_(file) {}

  Unpickled run() {
    while (true) {
      const auto op = static_cast<Op>(byte());
      if (op == Op::stop) break;
      step(op);
    }
    const std::size_t result = pop();
    return {std::move(objects_), std::move(tensors_), result};
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw ModelError(
        fmt::format("{}: its pickle is damaged: {}; write the file again", printable(file_), reason));
  }

  [[noreturn]] void refuse_contents(const std::string& reason) const {
    refuse_pickle_contents(file_, reason);
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
    if (!is_storage && name != pickled_rebuild_tensor && name != pickled_rebuild_parameter &&
        name != pickled_ordered_dict) {
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
    if (item(tuple, 0, Kind::text).text != "storage" || key.size() > longest_pickled_name ||
        type.size() > longest_pickled_name) {
      refuse("it refers to something that is no storage");
    }
    push({Kind::storage, item(tuple, 4, Kind::number).number, {}, {tuple.items[1], tuple.items[2]}});
  }

  void call(std::size_t function, std::size_t arguments) {
    if (objects_[function].kind != Kind::global) refuse("it calls what is no function");
    const std::string name = objects_[function].text;
    if (name == pickled_ordered_dict) {
      if (objects_[arguments].kind != Kind::tuple || !objects_[arguments].items.empty()) {
        refuse("an OrderedDict begins with contents");
      }
      push({Kind::dict, 0, {}, {}});
    } else if (name == pickled_rebuild_tensor) {
      push_tensor(objects_[arguments]);
    } else if (name == pickled_rebuild_parameter) {
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

void refuse_pickle_contents(const std::string& file, const std::string& reason) {
  throw ModelError(fmt::format(
      "{}: holds no single state dict: {}; save with torch.save(model.state_dict(), file). Nothing in the "
      "file was run",
      printable(file), reason));
}

Unpickled run_pickle(std::string_view pickle, const std::string& file) {
  return PickleMachine(pickle, file).run();
}

}  // namespace handgrad
