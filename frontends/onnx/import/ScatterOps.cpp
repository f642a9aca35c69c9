// Elements put where other tensors say.

#include "frontends/onnx/import/NodeImport.h"

#include "dialects/linalg_ext/LinalgExtDialect.h"

using namespace mlir;
using namespace moec;
using linalg_ext::Combining;

static std::optional<Combining> combiningOf(NodeImport &node) {
  const std::string name = node.text("reduction", "none");
  for (auto [word, combining] :
       {std::pair("none", Combining::None), std::pair("add", Combining::Add),
        std::pair("mul", Combining::Mul), std::pair("min", Combining::Min),
        std::pair("max", Combining::Max)})
    if (name == word)
      return combining;
  node.malformed("`reduction` is '{}', wanted none, add, mul, min or max", shownName(name));
  return std::nullopt;
}

static bool checkTypes(NodeImport &node, const GraphValue &value, const GraphValue &indices,
                       const GraphValue &updates) {
  if (!isInteger(indices.element) || elementTypeBits(indices.element) < 32)
    node.malformed("its indices are of {}, wanted INT64 or INT32",
                   elementTypeName(indices.element));
  if (value.element != updates.element)
    node.malformed("puts {} into {}", elementTypeName(updates.element),
                   elementTypeName(value.element));
  return !node.failed();
}

static GraphValue scatter(TensorBuilder &build, Combining combining, const GraphValue &indices,
                          const GraphValue &updates, const GraphValue &into) {
  Value out = build.tensorOf(into);
  auto op = linalg_ext::ScatterOp::create(build.ops(), build.where(), out.getType(), combining,
                                          isUnsigned(into.element), build.tensorOf(indices),
                                          build.tensorOf(updates), out);
  return build.ofTensor(op->getResult(0), into.element, into.shape);
}

static void importScatterElements(NodeImport &node) {
  const GraphValue value = node.input(0), indices = node.input(1), updates = node.input(2);
  const int64_t dim = node.dim(node.integer("axis", 0), value.rank());
  std::optional<Combining> combining = combiningOf(node);
  if (node.failed() || !checkTypes(node, value, indices, updates))
    return;
  if (indices.rank() != value.rank() || updates.rank() != value.rank())
    return node.malformed("puts {} at {} into {}; wanted one rank", shapeText(updates.shape),
                          shapeText(indices.shape), shapeText(value.shape));
  for (auto [a, b] : llvm::zip_equal(indices.shape, updates.shape))
    node.requireEqual(a, b, "sizes of its indices and updates");
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  const Size count = productOf(indices.shape);
  // A place for every element: its own but for the one index.
  const int64_t rank = value.rank();
  Value tensor = build.tensorOf(indices);
  Sizes shape = indices.shape;
  shape.push_back(Size(rank));
  Type stored = build.ops().getI64Type();
  GraphValue places =
      build.build(ElementType::Int64, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        Value given = TensorBuilder::extract(make, tensor, place.drop_back());
        Value result = make.convert(given, stored, false);
        for (int64_t other = 0; other < rank; ++other)
          if (other != dim)
            result = make.select(make.equal(place.back(), make.index(other)),
                                 make.fromIndex(place[other], stored), result);
        return result;
      });
  node.result(scatter(build, *combining, build.reshape(places, {count, Size(rank)}),
                      build.reshape(updates, count), value));
}

static void importScatterNd(NodeImport &node) {
  const GraphValue value = node.input(0), indices = node.input(1), updates = node.input(2);
  std::optional<Combining> combining = combiningOf(node);
  if (node.failed() || !checkTypes(node, value, indices, updates))
    return;
  if (indices.rank() < 1 || !indices.shape.back().isKnown())
    return node.unsupported("its indices are {}, and how many make a place is not known",
                            shapeText(indices.shape));
  const int64_t count = indices.shape.back().value(), lead = indices.rank() - 1;
  if (count < 1 || count > value.rank() || updates.rank() != lead + value.rank() - count)
    return node.malformed("puts {} at {} into {}", shapeText(updates.shape),
                          shapeText(indices.shape), shapeText(value.shape));
  Sizes wanted(ArrayRef<Size>(indices.shape).drop_back());
  wanted.append(value.shape.begin() + count, value.shape.end());
  for (auto [a, b] : llvm::zip_equal(wanted, updates.shape))
    node.requireEqual(a, b, "sizes of its updates and of what they go to");
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  const Size places = productOf(ArrayRef<Size>(indices.shape).drop_back());
  Sizes slices{places};
  slices.append(value.shape.begin() + count, value.shape.end());
  node.result(scatter(build, *combining, build.reshape(indices, {places, Size(count)}),
                      build.reshape(updates, slices), value));
}

/// Rows of `update` into a cache, from `write_indices[b]` on.
static void importTensorScatter(NodeImport &node) {
  const GraphValue past = node.input(0), update = node.input(1);
  const std::string mode = node.text("mode", "linear");
  const int64_t dim = node.dim(node.integer("axis", -2), past.rank());
  if (mode != "linear" && mode != "circular")
    node.malformed("`mode` is '{}', wanted linear or circular", shownName(mode));
  node.requireSameElement({past, update});
  if (past.rank() != update.rank() || past.rank() < 2 || dim == 0)
    node.malformed("puts {} into {} along {}", shapeText(update.shape), shapeText(past.shape), dim);
  if (node.failed())
    return;
  for (int64_t other = 0; other < past.rank(); ++other)
    if (other != dim)
      node.requireEqual(past.shape[other], update.shape[other],
                        "sizes beside the one that is written to");
  Value first;
  if (node.has(2)) {
    if (node.input(2).element != ElementType::Int64 || node.input(2).rank() != 1)
      return node.malformed("its write indices are {} of {}", shapeText(node.input(2).shape),
                            elementTypeName(node.input(2).element));
    first = node.build().tensorOf(node.input(2));
  }
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  Sizes shape(ArrayRef<Size>(update.shape).take_front(dim + 1));
  const Size places = productOf(shape);
  shape.push_back(Size(dim + 1));
  Type stored = build.ops().getI64Type();
  Value most = build.indexOf(past.shape[dim]);
  GraphValue indices =
      build.build(ElementType::Int64, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        Value row = place[dim];
        if (first)
          row = make.add(row, make.toIndex(TensorBuilder::extract(make, first, place[0])));
        if (mode == "circular")
          row = make.make<arith::RemSIOp>(row, make.max(most, make.index(1)));
        Value result = make.fromIndex(row, stored);
        for (int64_t other = 0; other < dim; ++other)
          result = make.select(make.equal(place.back(), make.index(other)),
                               make.fromIndex(place[other], stored), result);
        return result;
      });
  Sizes slices{places};
  slices.append(update.shape.begin() + dim + 1, update.shape.end());
  node.result(scatter(build, Combining::None, build.reshape(indices, {places, Size(dim + 1)}),
                      build.reshape(update, slices), past));
}

llvm::ArrayRef<OpRule> moec::scatterOps() {
  static const OpRule rules[] = {
      {"",
       "ScatterElements",
       {{11, "axis:i", 3, 3}, {16, "axis:i reduction:s", 3, 3}},
       importScatterElements},
      {"", "ScatterND", {{11, "", 3, 3}, {16, "reduction:s", 3, 3}}, importScatterNd},
      {"", "TensorScatter", {{24, "axis:i mode:s", 2, 3}}, importTensorScatter},
  };
  return rules;
}
