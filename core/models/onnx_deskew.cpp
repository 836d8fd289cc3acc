// Deskewing as nodes of an ONNX graph.
#ifdef HANDGRAD_ONNX
#include "handgrad/models/onnx_graph.h"

namespace handgrad {

namespace {

// Arithmetic on float64 tensors of the graph, of [N,1,rows,columns] or what spreads to that.
class Arithmetic {
 public:
  explicit Arithmetic(OnnxGraph& graph)
      : graph_(graph), all_axes_(graph.constant(at::tensor({1, 2, 3}, at::kLong))) {}

  std::string number(double value) { return graph_.constant(at::scalar_tensor(value, at::kDouble)); }
  std::string numbers(const Tensor& values) { return graph_.constant(values.to(at::kDouble)); }
  std::string plus(const std::string& a, const std::string& b) { return graph_.of("Add", {a, b}); }
  std::string minus(const std::string& a, const std::string& b) { return graph_.of("Sub", {a, b}); }
  std::string times(const std::string& a, const std::string& b) { return graph_.of("Mul", {a, b}); }
  std::string over(const std::string& a, const std::string& b) { return graph_.of("Div", {a, b}); }
  std::string floor(const std::string& a) { return graph_.of("Floor", {a}); }
  std::string at_least(const std::string& a, double least) { return graph_.of("Max", {a, number(least)}); }
  std::string between(const std::string& a, double least, double most) {
    return graph_.of("Min", {at_least(a, least), number(most)});
  }
  std::string sum(const std::string& a) { return graph_.of("ReduceSum", {a, all_axes_}); }
  // ⌊256 a + 1/2⌋
  std::string in_256ths(const std::string& a) { return floor(plus(times(number(256), a), number(0.5))); }

 private:
  OnnxGraph& graph_;
  std::string all_axes_;
};

}  // namespace

void add_deskew(OnnxGraph& graph, ImageShape shape) {
  const std::int64_t rows = shape.rows;
  const std::int64_t columns = shape.columns;
  Arithmetic math(graph);
  const std::string scaled =
      graph.of("Mul", {graph.last(), graph.constant(at::scalar_tensor(255.0, at::kFloat))});
  const std::string p =
      math.between(graph.of("Cast", {graph.of("Round", {scaled})}, "to", onnx::TensorProto::DOUBLE), 0, 255);

  const Tensor columns_from_0 = at::arange(columns, at::kDouble).view({1, 1, 1, columns});
  const Tensor rows_from_0 = at::arange(rows, at::kDouble).view({1, 1, rows, 1});
  const std::string x = math.numbers(columns_from_0);
  const std::string y = math.numbers(rows_from_0);
  const std::string m = math.at_least(math.sum(p), 1);
  const auto mean = [&](const std::string& of) { return math.over(math.sum(math.times(p, of)), m); };
  const std::string cx = mean(x);
  const std::string cy = mean(y);
  const std::string xy = math.minus(mean(math.numbers(columns_from_0 * rows_from_0)), math.times(cx, cy));
  const std::string yy = math.minus(mean(math.numbers(rows_from_0.square())), math.times(cy, cy));
  const std::string slant = math.between(math.over(xy, math.at_least(yy, 1e-6)), -1, 1);

  const double middle_x = static_cast<double>(columns - 1) / 2;
  const double middle_y = static_cast<double>(rows - 1) / 2;
  const std::string along = math.in_256ths(math.plus(math.times(slant, math.numbers(rows_from_0 - middle_y)),
                                                     math.minus(cx, math.number(middle_x))));
  const std::string down = math.in_256ths(math.minus(cy, math.number(middle_y)));
  const std::string of_256 = math.number(256);
  const std::string whole_along = math.floor(math.over(along, of_256));
  const std::string whole_down = math.floor(math.over(down, of_256));
  const std::string right = math.minus(along, math.times(whole_along, of_256));
  const std::string below = math.minus(down, math.times(whole_down, of_256));
  const std::string left = math.plus(whole_along, x);
  const std::string top = math.plus(whole_down, y);

  // The image in a margin of zeros, one pixel wide.
  const std::string margin = graph.constant(at::tensor({0, 0, 1, 1, 0, 0, 1, 1}, at::kLong));
  const std::string padded = graph.of("Flatten", {graph.of("Pad", {p, margin})});
  const std::string one_channel =
      graph.constant(at::tensor({std::int64_t{-1}, std::int64_t{1}, rows, columns}, at::kLong));
  const auto corner = [&](double dx, double dy) {
    const std::string row =
        math.between(math.plus(top, math.number(dy + 1)), 0, static_cast<double>(rows + 1));
    const std::string column =
        math.between(math.plus(left, math.number(dx + 1)), 0, static_cast<double>(columns + 1));
    const std::string place =
        math.plus(math.times(row, math.number(static_cast<double>(columns + 2))), column);
    const std::string index =
        graph.of("Flatten", {graph.of("Cast", {place}, "to", onnx::TensorProto::INT64)});
    return graph.of("Reshape", {graph.of("GatherElements", {padded, index}, "axis", 1), one_channel});
  };
  const auto blend = [&](const std::string& share, const std::string& first, const std::string& second) {
    return math.plus(math.times(math.minus(of_256, share), first), math.times(share, second));
  };
  const std::string upper = blend(right, corner(0, 0), corner(1, 0));
  const std::string lower = blend(right, corner(0, 1), corner(1, 1));
  const std::string rounded =
      math.floor(math.over(math.plus(blend(below, upper, lower), math.number(32768)), math.number(65536)));
  const std::string bytes = graph.of("Cast", {rounded}, "to", onnx::TensorProto::FLOAT);
  graph.begin(graph.of("Div", {bytes, graph.constant(at::scalar_tensor(255.0, at::kFloat))}));
}

}  // namespace handgrad
#endif
