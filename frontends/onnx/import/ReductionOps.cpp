// Sums and the like along dimensions, and softmax.

#include "frontends/onnx/import/NodeImport.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace moec;

/// The dimensions that a node reduces: `axes`, as attribute or as input 1, or all.
static std::optional<SmallVector<int64_t>> reducedDims(NodeImport &node, int64_t rank) {
  std::optional<std::vector<int64_t>> axes =
      node.has(1) ? node.knownNumbers(1, "the axes") : node.integers("axes");
  if (node.failed())
    return std::nullopt;
  if (axes && !axes->empty())
    return node.dims(*axes, rank);
  if (node.integer("noop_with_empty_axes", 0) != 0)
    return SmallVector<int64_t>();
  return llvm::to_vector(llvm::seq<int64_t>(0, rank));
}

/// Of the product of sizes as a number of floats.
static GraphValue countOf(TensorBuilder &build, ArrayRef<Size> shape, ArrayRef<int64_t> dims,
                          ElementType element) {
  Size count(1);
  for (int64_t dim : dims)
    count = count * shape[dim];
  if (count.isKnown())
    return build.scalar(element, static_cast<double>(count.value()));
  return build.convert(build.ofElements(ElementType::Int64, {count}, /*isScalar=*/true), element);
}

namespace {
enum class Reduction {
  Sum,
  Mean,
  Max,
  Min,
  Product,
  L1,
  L2,
  LogSum,
  LogSumExp,
  SumSquare,
};
} // namespace

static bool needsFloats(Reduction reduction) {
  return reduction == Reduction::LogSum || reduction == Reduction::LogSumExp;
}

static GraphValue reduced(TensorBuilder &build, const GraphValue &value, ArrayRef<int64_t> dims,
                          Reduction reduction) {
  auto mapped = [&](const GraphValue &of, llvm::function_ref<Value(ElementBuilder &, Value)> body) {
    return build.map(of.element, of,
                     [&](ElementBuilder &make, ValueRange x) { return body(make, x[0]); });
  };
  auto sumOf = [&](llvm::function_ref<Value(ElementBuilder &, Value)> body) {
    // In the loop that adds up, so that nothing in between is stored.
    const ElementType element = isFloat(value.element) && elementTypeBits(value.element) < 32
                                    ? ElementType::Float
                                    : value.element;
    return build.reduce(
        value, dims, build.zeroOf(element),
        [&](ElementBuilder &make, Value x, Value sum) { return make.add(sum, body(make, x)); });
  };
  switch (reduction) {
  case Reduction::Sum:
    return build.sum(value, dims);
  case Reduction::Mean: {
    GraphValue sum = build.sum(value, dims);
    return build.div(sum, countOf(build, value.shape, dims, sum.element));
  }
  case Reduction::Max:
    return build.greatest(value, dims);
  case Reduction::Min:
    return build.least(value, dims);
  case Reduction::Product: {
    GraphValue wide = isFloat(value.element) && elementTypeBits(value.element) < 32
                          ? build.convert(value, ElementType::Float)
                          : value;
    TypedAttr one = isFloat(wide.element)
                        ? TypedAttr(build.ops().getFloatAttr(build.typeOf(wide.element), 1.0))
                        : TypedAttr(build.ops().getIntegerAttr(build.typeOf(wide.element), 1));
    return build.reduce(wide, dims, one, [](ElementBuilder &make, Value x, Value product) {
      return make.mul(product, x);
    });
  }
  case Reduction::L1:
    return sumOf([](ElementBuilder &make, Value x) { return make.abs(x); });
  case Reduction::L2: {
    GraphValue sum = sumOf([](ElementBuilder &make, Value x) { return make.mul(x, x); });
    if (isFloat(sum.element))
      return mapped(sum, [](ElementBuilder &make, Value x) { return make.sqrt(x); });
    return build.map(sum.element, sum, [](ElementBuilder &make, ValueRange x) {
      Value root = make.sqrt(make.convert(x[0], make.ops().getF64Type(), false));
      return make.convert(root, x[0].getType(), false);
    });
  }
  case Reduction::LogSum:
    return mapped(build.sum(value, dims),
                  [](ElementBuilder &make, Value x) { return make.log(x); });
  case Reduction::LogSumExp: {
    // Relative to the largest, so that nothing overflows; where that is infinite, to 0.
    GraphValue most = build.greatest(value, dims);
    GraphValue base = mapped(most, [](ElementBuilder &make, Value x) {
      Value isFinite = make.less(make.abs(x), make.number(x, INFINITY));
      return make.select(isFinite, x, make.number(x, 0));
    });
    SmallVector<int64_t> sorted(dims);
    llvm::sort(sorted);
    GraphValue powers = build.map(
        base.element, {value, build.unsqueeze(base, sorted)},
        [](ElementBuilder &make, ValueRange x) { return make.exp(make.sub(x[0], x[1])); });
    GraphValue sum = build.sum(powers, dims);
    return build.map(base.element, {sum, base}, [](ElementBuilder &make, ValueRange x) {
      return make.add(make.log(x[0]), x[1]);
    });
  }
  case Reduction::SumSquare:
    return sumOf([](ElementBuilder &make, Value x) { return make.mul(x, x); });
  }
  return value;
}

/// Sums and products of numbers that sizes are made of.
static std::optional<GraphValue> reduceKnown(NodeImport &node, const GraphValue &value,
                                             ArrayRef<int64_t> dims, Reduction reduction) {
  if (!value.elements || dims.size() != 1 || value.rank() != 1 || !isInteger(value.element))
    return std::nullopt;
  Size all(reduction == Reduction::Product ? 1 : 0);
  if (reduction != Reduction::Product && reduction != Reduction::Sum)
    return std::nullopt;
  for (const Size &element : *value.elements)
    all = reduction == Reduction::Product ? all * element : all + element;
  return node.build().ofElements(value.element, {all}, node.integer("keepdims", 1) == 0);
}

template <Reduction reduction> static void importReduction(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<SmallVector<int64_t>> dims = reducedDims(node, value.rank());
  if (!dims || node.failed())
    return;
  if (needsFloats(reduction) && !isFloat(value.element))
    return node.unsupported("its input is of {}, wanted floats", elementTypeName(value.element));
  TensorBuilder &build = node.build();
  if (std::optional<GraphValue> known = reduceKnown(node, value, *dims, reduction))
    return node.result(std::move(*known));
  GraphValue result = reduced(build, value, *dims, reduction);
  if (node.integer("keepdims", 1) != 0)
    result = build.unsqueeze(result, *dims);
  node.result(build.convert(result, value.element));
}

// Softmax and its kin

/// Before version 13 all dimensions from `axis` on are one, by default from 1.
static void overFlattened(NodeImport &node,
                          llvm::function_ref<GraphValue(const GraphValue &, int64_t)> apply) {
  const GraphValue value = node.input(0);
  const bool isFlat = node.since() < 13;
  const int64_t axis = node.integer("axis", isFlat ? 1 : -1);
  node.requireFloat(value, "its input");
  if (isFlat && axis == value.rank() && !node.failed()) {
    // Rows of a single element.
    GraphValue rows = node.build().unsqueeze(value, value.rank());
    return node.result(node.build().squeeze(apply(rows, value.rank()), value.rank()));
  }
  const int64_t dim = node.dim(axis, value.rank());
  if (node.failed())
    return;
  if (!isFlat || dim == value.rank() - 1)
    return node.result(apply(value, dim));
  const ArrayRef<Size> shape = value.shape;
  GraphValue rows = node.build().reshape(
      value, {productOf(shape.take_front(dim)), productOf(shape.drop_front(dim))});
  node.result(node.build().reshape(apply(rows, 1), shape));
}

static void importSoftmax(NodeImport &node) {
  overFlattened(
      node, [&](const GraphValue &value, int64_t dim) { return node.build().softmax(value, dim); });
}

static void importLogSoftmax(NodeImport &node) {
  overFlattened(node, [&](const GraphValue &value, int64_t dim) {
    TensorBuilder &build = node.build();
    GraphValue total = build.unsqueeze(reduced(build, value, dim, Reduction::LogSumExp), dim);
    return build.map(value.element, {value, total},
                     [](ElementBuilder &make, ValueRange x) { return make.sub(x[0], x[1]); });
  });
}

/// 1 at the first of the largest elements, 0 elsewhere.
static void importHardmax(NodeImport &node) {
  overFlattened(node, [&](const GraphValue &value, int64_t dim) {
    TensorBuilder &build = node.build();
    GraphValue most = build.unsqueeze(build.greatest(value, dim), dim);
    // The least place with it.
    Value tensor = build.tensorOf(value), largest = build.tensorOf(most),
          size = build.indexOf(value.shape[dim]);
    Type stored = build.ops().getI64Type(), wide = build.typeOf(most.element);
    GraphValue places = build.build(
        ElementType::Int64, value.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
          SmallVector<Value> row(place);
          row[dim] = make.index(0);
          Value element = make.convert(TensorBuilder::extract(make, tensor, place), wide, false);
          Value isMost = make.equal(element, TensorBuilder::extract(make, largest, row));
          return make.fromIndex(make.select(isMost, place[dim], size), stored);
        });
    GraphValue first = build.unsqueeze(build.least(places, dim), dim);
    Value at = build.tensorOf(first);
    Type type = build.typeOf(value.element);
    return build.build(value.element, value.shape,
                       [&](ElementBuilder &make, ArrayRef<Value> place) {
                         SmallVector<Value> row(place);
                         row[dim] = make.index(0);
                         Value here = make.toIndex(TensorBuilder::extract(make, at, row));
                         return make.select(make.equal(here, place[dim]), make.number(type, 1),
                                            make.number(type, 0));
                       });
  });
}

llvm::ArrayRef<OpRule> moec::reductionOps() {
  static const OpRule rules[] = {
      {"",
       "ReduceSum",
       {{11, "axes:is keepdims:i", 1, 1}, {13, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::Sum>},
      {"",
       "ReduceMean",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::Mean>},
      {"",
       "ReduceMax",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::Max>},
      {"",
       "ReduceMin",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::Min>},
      {"",
       "ReduceProd",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::Product>},
      {"",
       "ReduceL1",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::L1>},
      {"",
       "ReduceL2",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::L2>},
      {"",
       "ReduceLogSum",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::LogSum>},
      {"",
       "ReduceLogSumExp",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::LogSumExp>},
      {"",
       "ReduceSumSquare",
       {{11, "axes:is keepdims:i", 1, 1}, {18, "keepdims:i noop_with_empty_axes:i", 1, 2}},
       importReduction<Reduction::SumSquare>},
      {"", "Softmax", {{11, "axis:i", 1, 1}, {13, "axis:i", 1, 1}}, importSoftmax},
      {"", "LogSoftmax", {{11, "axis:i", 1, 1}, {13, "axis:i", 1, 1}}, importLogSoftmax},
      {"", "Hardmax", {{11, "axis:i", 1, 1}, {13, "axis:i", 1, 1}}, importHardmax},
  };
  return rules;
}
