// A dict of tensors as a pickle: written.
#include <utility>

#include "handgrad/files/little_endian.h"
#include "handgrad/models/pickle.h"
#include "handgrad/models/pickle_ops.h"

namespace handgrad {

namespace {

using Op = PickleOp;

class PickleWriter {
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

}  // namespace

std::string pickle_tensors(const std::vector<PickledTensor>& tensors) {
  PickleWriter writer;
  writer.op(Op::proto);
  writer.little_endian(2, 1);
  writer.op(Op::empty_dict);
  writer.op(Op::mark);
  for (const PickledTensor& tensor : tensors) {
    writer.text(tensor.name);
    writer.global(pickled_rebuild_tensor);
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
    writer.global(pickled_ordered_dict);
    writer.op(Op::empty_tuple);
    writer.op(Op::reduce);  // no hooks
    writer.op(Op::tuple);
    writer.op(Op::reduce);
  }
  writer.op(Op::setitems);
  writer.op(Op::stop);
  return std::move(writer).bytes();
}

}  // namespace handgrad
