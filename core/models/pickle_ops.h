// The operations of pickles, and the functions of Python that those of tensors name.
#pragma once

namespace handgrad {

constexpr const char* pickled_rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr const char* pickled_rebuild_parameter = "torch._utils._rebuild_parameter";
constexpr const char* pickled_ordered_dict = "collections.OrderedDict";

enum class PickleOp : unsigned char {
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

}  // namespace handgrad
