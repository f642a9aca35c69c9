// The same elements in other shapes, and tensors joined and cut.

#include "frontends/onnx/import/NodeImport.h"

using namespace mlir;
using namespace moec;
using SizeOp = SizeTable::Operation;

static void importReshape(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<SmallVector<Size, 1>> wanted = node.numbers(1, "the shape");
  if (!wanted)
    return;
  const bool copiesZeros = node.integer("allowzero", 0) == 0;
  TensorBuilder &build = node.build();
  Sizes shape;
  std::optional<size_t> rest;
  for (auto [place, size] : llvm::enumerate(*wanted)) {
    Size each = size;
    if (copiesZeros && each.is(0)) {
      if (place >= value.shape.size())
        return node.malformed("keeps size {} of {}", place, shapeText(value.shape));
      each = value.shape[place];
    }
    if (each.is(-1)) {
      if (rest)
        return node.malformed("leaves two sizes open");
      rest = place;
    } else if (each.isKnown() && each.value() < 0) {
      return node.malformed("wants a size of {}", each.value());
    }
    shape.push_back(each);
  }
  const Size total = productOf(value.shape);
  if (rest) {
    shape[*rest] = Size(1);
    const Size others = productOf(shape);
    if (others.is(0))
      return node.malformed("leaves a size open beside one of 0");
    std::optional<Size> quotient = total.dividedBy(others);
    if (!quotient && total.isKnown() && others.isKnown())
      return node.malformed("makes {} of {}: {} elements are no multiple of {}", shapeText(*wanted),
                            shapeText(value.shape), total.value(), others.value());
    shape[*rest] = quotient ? *quotient : build.compute(SizeOp::Quotient, {total, others});
  }
  node.requireEqual(total, productOf(shape), "the numbers of elements before and after");
  if (!node.failed())
    node.result(build.reshape(value, shape));
}

static void importFlatten(NodeImport &node) {
  const GraphValue value = node.input(0);
  const int64_t axis = node.integer("axis", 1), rank = value.rank();
  if (axis < -rank || axis > rank)
    return node.malformed("axis {} is no place in {}", axis, shapeText(value.shape));
  const ArrayRef<Size> shape = value.shape;
  const int64_t cut = axis < 0 ? axis + rank : axis;
  node.result(node.build().reshape(
      value, {productOf(shape.take_front(cut)), productOf(shape.drop_front(cut))}));
}

/// `axes` as attribute or, later, as input 1; none where neither is there.
static std::optional<std::vector<int64_t>> axesOf(NodeImport &node) {
  if (node.has(1))
    return node.knownNumbers(1, "the axes");
  return node.integers("axes");
}

static void importSqueeze(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<std::vector<int64_t>> axes = axesOf(node);
  if (node.failed())
    return;
  SmallVector<int64_t> dims;
  if (axes) {
    dims = node.dims(*axes, value.rank());
  } else {
    for (auto [dim, size] : llvm::enumerate(value.shape)) {
      if (size.is(1))
        dims.push_back(dim);
      else if (!size.isKnown())
        return node.unsupported("does not say which dimensions it drops of {}",
                                shapeText(value.shape));
    }
  }
  for (int64_t dim : dims)
    if (!node.failed())
      node.requireEqual(value.shape[dim], Size(1), "a size to drop and 1");
  if (!node.failed())
    node.result(node.build().squeeze(value, dims));
}

static void importUnsqueeze(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<std::vector<int64_t>> axes = axesOf(node);
  if (!axes)
    return node.malformed("has no axes");
  SmallVector<int64_t> dims = node.dims(*axes, value.rank() + static_cast<int64_t>(axes->size()));
  if (!node.failed())
    node.result(node.build().unsqueeze(value, dims));
}

static void importExpand(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<SmallVector<Size, 1>> wanted = node.numbers(1, "the shape");
  if (!wanted)
    return;
  std::optional<Sizes> shape = node.build().broadcastShape({value.shape, *wanted});
  if (!shape)
    return node.malformed("{} does not broadcast to {}", shapeText(value.shape),
                          shapeText(*wanted));
  if (value.elements && shape->size() <= 1 && value.elements->size() == 1 &&
      (shape->empty() || ((*shape)[0].isKnown() && (*shape)[0].value() <= 64)))
    return node.result(node.build().ofElements(
        value.element,
        SmallVector<Size, 1>(shape->empty() ? 1 : (*shape)[0].value(), value.elements->front()),
        shape->empty()));
  node.result(node.build().broadcast(value, *shape));
}

static void importTranspose(NodeImport &node) {
  const GraphValue value = node.input(0);
  SmallVector<int64_t> order;
  if (std::optional<std::vector<int64_t>> given = node.integers("perm"))
    order.assign(given->begin(), given->end());
  else
    for (int64_t dim = value.rank(); dim-- > 0;)
      order.push_back(dim);
  for (int64_t &dim : order)
    dim = node.dim(dim, value.rank(), "entry of `perm`");
  if (static_cast<int64_t>(order.size()) != value.rank())
    return node.malformed("`perm` has {} entries for {}", order.size(), shapeText(value.shape));
  node.dims(order, value.rank(), "`perm`");
  if (!node.failed())
    node.result(node.build().transpose(value, order));
}

static void importConcat(NodeImport &node) {
  std::vector<GraphValue> values = node.inputs();
  if (values.size() != node.inputCount())
    return node.malformed("leaves out an input");
  node.requireSameElement(values);
  const int64_t dim = node.dim(node.integer("axis", 0), values[0].rank());
  if (node.failed())
    return;
  for (const GraphValue &value : values) {
    if (value.rank() != values[0].rank())
      return node.malformed("joins {} and {}", shapeText(values[0].shape), shapeText(value.shape));
    for (int64_t other = 0; other < value.rank() && !node.failed(); ++other)
      if (other != dim)
        node.requireEqual(values[0].shape[other], value.shape[other],
                          "sizes beside the one that is joined");
  }
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  if (values[0].rank() == 1 && llvm::all_of(values, [](const GraphValue &value) {
        return value.elements || (value.shape[0].is(1) && isInteger(value.element));
      })) {
    // Of what is read of tensors a list is made if the rest is one.
    if (llvm::any_of(values, [](const GraphValue &value) { return value.elements.has_value(); })) {
      SmallVector<Size, 1> elements;
      for (const GraphValue &value : values)
        elements.append(*build.numbersOf(value));
      return node.result(build.ofElements(values[0].element, std::move(elements), false));
    }
  }
  // What later sizes follow from is the first one's.
  for (GraphValue &value : values)
    if (!value.tensor || value.elements)
      value.tensor = build.tensorOf(value);
  node.result(build.concat(values, dim));
}

static void importSplit(NodeImport &node) {
  const GraphValue value = node.input(0);
  const int64_t dim = node.dim(node.integer("axis", 0), value.rank());
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  const Size whole = value.shape[dim];
  const auto parts = static_cast<int64_t>(node.outputCount());
  SmallVector<Size, 1> sizes;
  if (node.has(1)) {
    std::optional<SmallVector<Size, 1>> given = node.numbers(1, "the sizes of parts");
    if (!given)
      return;
    sizes = std::move(*given);
  } else if (std::optional<std::vector<int64_t>> given = node.integers("split")) {
    sizes.assign(given->begin(), given->end());
  } else {
    if (node.integer("num_outputs", parts) != parts)
      return node.malformed("`num_outputs` is {}, and it has {} outputs",
                            node.integer("num_outputs", parts), parts);
    // Equal parts; the last may be smaller.
    const Size each = build.quotientUp(whole, Size(parts));
    if (node.since() < 18 && whole.isKnown() && whole.value() % parts != 0)
      return node.malformed("cuts {} into {} parts", whole.value(), parts);
    for (int64_t part = 0; part + 1 < parts; ++part)
      sizes.push_back(each);
    sizes.push_back(whole - each * Size(parts - 1));
  }
  if (static_cast<int64_t>(sizes.size()) != parts)
    return node.malformed("gives {} sizes for {} parts", sizes.size(), parts);
  Size sum(0);
  for (const Size &size : sizes)
    sum = sum + size;
  node.requireEqual(sum, whole, "the sum of the parts' sizes and the size that is cut");
  if (node.failed())
    return;
  Size offset(0);
  for (auto [part, size] : llvm::enumerate(sizes)) {
    if (size.isKnown() && size.value() < 0)
      return node.malformed("a part has size {}", size.value());
    if (node.wants(part)) {
      if (value.elements && value.rank() == 1 && size.isKnown() && offset.isKnown())
        node.result(build.ofElements(
                        value.element,
                        SmallVector<Size, 1>(
                            ArrayRef<Size>(*value.elements).slice(offset.value(), size.value())),
                        false),
                    part);
      else
        node.result(build.slice(value, dim, offset, size), part);
    }
    offset = offset + size;
  }
}

llvm::ArrayRef<OpRule> moec::shapeOps() {
  static const OpRule rules[] = {
      {"", "Reshape", {{5, "", 2, 2}, {14, "allowzero:i", 2, 2}}, importReshape},
      {"", "Flatten", {{11, "axis:i", 1, 1}}, importFlatten},
      {"", "Squeeze", {{11, "axes:is", 1, 1}, {13, "", 1, 2}}, importSqueeze},
      {"", "Unsqueeze", {{11, "axes:is", 1, 1}, {13, "", 2, 2}}, importUnsqueeze},
      {"", "Expand", {{8, "", 2, 2}}, importExpand},
      {"", "Transpose", {{1, "perm:is", 1, 1}}, importTranspose},
      {"", "Concat", {{11, "axis:i", 1, kAny}}, importConcat},
      {"",
       "Split",
       {{11, "axis:i split:is", 1, 1, 1, kAny},
        {13, "axis:i", 1, 2, 1, kAny},
        {18, "axis:i num_outputs:i", 1, 2, 1, kAny}},
       importSplit},
  };
  return rules;
}
