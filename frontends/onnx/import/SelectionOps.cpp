// The largest elements, those that are not zero, and sums along the way.

#include "frontends/onnx/import/NodeImport.h"

#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;
using linalg_ext::Combining;

/// Puts `dim` last; the same the other way brings it back.
static SmallVector<int64_t> withLast(int64_t rank, int64_t dim) {
  SmallVector<int64_t> order;
  for (int64_t each = 0; each < rank; ++each)
    order.push_back(each);
  std::swap(order[dim], order.back());
  return order;
}

static std::pair<GraphValue, GraphValue> topK(TensorBuilder &build, const GraphValue &value,
                                              int64_t dim, const Size &count, bool isLargest) {
  const SmallVector<int64_t> order = withLast(value.rank(), dim);
  GraphValue turned = build.transpose(value, order);
  Sizes shape = turned.shape;
  shape.back() = count;
  Value values = build.empty(value.element, shape),
        indices = build.empty(ElementType::Int64, shape);
  auto op = linalg_ext::TopKOp::create(
      build.ops(), build.where(), TypeRange{values.getType(), indices.getType()},
      /*smallest=*/!isLargest, isUnsigned(value.element), build.tensorOf(turned), values, indices);
  GraphValue places = build.ofTensor(op->getResult(1), ElementType::Int64, shape);
  places.below = turned.shape.back();
  return {build.transpose(build.ofTensor(op->getResult(0), value.element, shape), order),
          build.transpose(places, order)};
}

static void importTopK(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<SmallVector<Size, 1>> counts = node.numbers(1, "k");
  if (!counts)
    return;
  if (counts->size() != 1)
    return node.malformed("k has {} elements, wanted one", counts->size());
  if (value.rank() == 0)
    return node.malformed("its input is a scalar");
  const int64_t dim = node.dim(node.integer("axis", -1), value.rank());
  if (node.failed())
    return;
  const Size &count = counts->front();
  if (count.isKnown() && (count.value() < 0 ||
                          (value.shape[dim].isKnown() && count.value() > value.shape[dim].value())))
    return node.malformed("k is {}, of {} elements", count.value(), shapeText(value.shape[dim]));
  auto [values, places] = topK(node.build(), value, dim, count, node.integer("largest", 1) != 0);
  node.result(std::move(values), 0);
  if (node.wants(1))
    node.result(std::move(places), 1);
}

template <bool isLargest> static void importArgOf(NodeImport &node) {
  GraphValue value = node.input(0);
  if (value.rank() == 0)
    return node.malformed("its input is a scalar");
  const int64_t dim = node.dim(node.integer("axis", 0), value.rank());
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  const bool isLast = node.integer("select_last_index", 0) != 0;
  const Size size = value.shape[dim];
  // Of equal elements the first one is found: so to find the last the order is turned.
  if (isLast) {
    Value tensor = build.tensorOf(value), last = build.indexOf(size - Size(1));
    value =
        build.build(value.element, value.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
          SmallVector<Value> from(place);
          from[dim] = make.sub(last, place[dim]);
          return TensorBuilder::extract(make, tensor, from);
        });
  }
  GraphValue places = topK(build, value, dim, Size(1), isLargest).second;
  if (isLast) {
    Value last = build.indexOf(size - Size(1));
    places = build.map(ElementType::Int64, places, [&](ElementBuilder &make, ValueRange x) {
      return make.sub(make.fromIndex(last, x[0].getType()), x[0]);
    });
    places.below = size;
  }
  node.result(node.integer("keepdims", 1) != 0 ? places : build.squeeze(places, dim));
}

static GraphValue nonzero(TensorBuilder &build, const GraphValue &value) {
  const Size most = productOf(value.shape);
  Value indices = build.empty(ElementType::Int64, {Size(value.rank()), most}),
        count = build.empty(ElementType::Int64, {});
  auto op = linalg_ext::NonzeroOp::create(build.ops(), build.where(),
                                          TypeRange{indices.getType(), count.getType()},
                                          build.tensorOf(value), indices, count);
  ElementBuilder make(build.ops(), build.where());
  Value number = make.toIndex(TensorBuilder::extract(make, op->getResult(1), {}));
  Size found = build.sizeTable().addOfData(number, /*isNegativePossible=*/false, most);
  GraphValue all = build.ofTensor(op->getResult(0), ElementType::Int64, {Size(value.rank()), most});
  GraphValue result = build.slice(all, 1, Size(0), found);
  // Of several dimensions each row has a bound of its own, which a row's user finds out.
  if (value.rank() == 1)
    result.below = value.shape[0];
  return result;
}

static void importNonzero(NodeImport &node) {
  GraphValue value = node.input(0);
  TensorBuilder &build = node.build();
  if (value.rank() == 0)
    value = build.reshape(value, Size(1));
  node.result(nonzero(build, value));
}

static void importCompress(NodeImport &node) {
  GraphValue value = node.input(0);
  const GraphValue condition = node.input(1);
  if (!isBool(condition.element) || condition.rank() != 1)
    return node.malformed("its condition is {} of {}, wanted a vector of BOOL",
                          shapeText(condition.shape), elementTypeName(condition.element));
  TensorBuilder &build = node.build();
  int64_t dim = 0;
  if (node.hasAttribute("axis"))
    dim = node.dim(node.integer("axis", 0), value.rank());
  else
    value = build.reshape(value, productOf(value.shape));
  if (node.failed())
    return;
  GraphValue places = nonzero(build, condition);
  Value tensor = build.tensorOf(value), at = build.tensorOf(places),
        last = build.indexOf(value.shape[dim] - Size(1));
  Sizes shape = value.shape;
  shape[dim] = places.shape[1];
  node.result(build.build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
    SmallVector<Value> from(place);
    from[dim] =
        make.min(make.toIndex(TensorBuilder::extract(make, at, {make.index(0), place[dim]})), last);
    return TensorBuilder::extract(make, tensor, from);
  }));
}

template <Combining combining> static void importScan(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<std::vector<int64_t>> axis = node.knownNumbers(1, "the axis");
  if (!axis)
    return;
  if (axis->size() != 1)
    return node.malformed("has {} axes, wanted one", axis->size());
  const int64_t dim = node.dim(axis->front(), value.rank());
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  Value out = build.empty(value.element, value.shape);
  auto op = linalg_ext::ScanOp::create(
      build.ops(), build.where(), out.getType(), combining, dim, node.integer("exclusive", 0) != 0,
      node.integer("reverse", 0) != 0, isUnsigned(value.element), build.tensorOf(value), out);
  node.result(build.ofTensor(op->getResult(0), value.element, value.shape));
}

llvm::ArrayRef<OpRule> moec::selectionOps() {
  static const OpRule rules[] = {
      {"", "TopK", {{11, "axis:i largest:i sorted:i", 2, 2, 2, 2}}, importTopK},
      {"",
       "ArgMax",
       {{11, "axis:i keepdims:i", 1, 1}, {12, "axis:i keepdims:i select_last_index:i", 1, 1}},
       importArgOf<true>},
      {"",
       "ArgMin",
       {{11, "axis:i keepdims:i", 1, 1}, {12, "axis:i keepdims:i select_last_index:i", 1, 1}},
       importArgOf<false>},
      {"", "NonZero", {{9, "", 1, 1}}, importNonzero},
      {"", "Compress", {{11, "axis:i", 2, 2}}, importCompress},
      {"", "CumSum", {{11, "exclusive:i reverse:i", 2, 2}}, importScan<Combining::Add>},
      {"", "CumProd", {{26, "exclusive:i reverse:i", 2, 2}}, importScan<Combining::Mul>},
  };
  return rules;
}
