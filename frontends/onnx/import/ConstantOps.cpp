// Tensors out of nothing: constants, counts, patterns.

#include "frontends/onnx/import/GraphImporter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace moec;
using SizeOp = SizeTable::Operation;

static void importConstant(NodeImport &node) {
  TensorBuilder &build = node.build();
  if (node.source().attributes.size() != 1)
    return node.malformed("has {} attributes, wanted one value", node.source().attributes.size());
  const std::string name = node.onnx().nameOf(node.source().outputs[0]);
  if (const OnnxTensor *tensor = node.tensor("value")) {
    Result<GraphValue> value = node.owner().constant(*tensor, name);
    if (!value.ok())
      return node.keep(value.status());
    return node.result(std::move(*value));
  }
  if (node.hasAttribute("value_int"))
    return node.result(
        build.ofElements(ElementType::Int64, {Size(node.integer("value_int", 0))}, true));
  if (std::optional<std::vector<int64_t>> numbers = node.integers("value_ints")) {
    SmallVector<Size, 1> elements(numbers->begin(), numbers->end());
    return node.result(build.ofElements(ElementType::Int64, std::move(elements), false));
  }
  if (node.hasAttribute("value_float"))
    return node.result(build.scalar(ElementType::Float, node.real("value_float", 0)));
  if (const std::vector<float> *numbers = node.reals("value_floats")) {
    auto type = build.typeOf(ElementType::Float, Size(numbers->size()));
    return node.result(build.ofTensor(
        arith::ConstantOp::create(build.ops(), build.where(),
                                  DenseElementsAttr::get(type, ArrayRef<float>(*numbers))),
        ElementType::Float, {Size(numbers->size())}));
  }
  node.unsupported("its value is of strings");
}

/// The shape that input 0 holds; none, with a failure, where it cannot be.
static std::optional<Sizes> shapeOf(NodeImport &node, size_t input) {
  if (node.input(input).rank() != 1) {
    node.malformed("its shape (input {}) is {}, wanted rank 1", input,
                   shapeText(node.input(input).shape));
    return std::nullopt;
  }
  std::optional<SmallVector<Size, 1>> numbers = node.numbers(input, "a shape");
  if (!numbers)
    return std::nullopt;
  Sizes shape(numbers->begin(), numbers->end());
  for (const Size &size : shape)
    if (size.isKnown() && size.value() < 0) {
      node.malformed("a size is {}", size.value());
      return std::nullopt;
    }
  return shape;
}

static void importConstantOfShape(NodeImport &node) {
  std::optional<Sizes> shape = shapeOf(node, 0);
  if (!shape)
    return;
  TensorBuilder &build = node.build();
  const OnnxTensor *tensor = node.tensor("value");
  if (!tensor)
    return node.result(build.filled(ElementType::Float, *shape, 0));
  if (tensor->elements != 1)
    return node.malformed("`value` has {} elements, wanted one", tensor->elements);
  Result<GraphValue> value =
      node.owner().constant(*tensor, node.onnx().nameOf(node.source().outputs[0]));
  if (!value.ok())
    return node.keep(value.status());
  if (shape->size() == 1 && (*shape)[0].isKnown() && (*shape)[0].value() <= 64 && value->elements)
    return node.result(build.ofElements(
        value->element, SmallVector<Size, 1>((*shape)[0].value(), value->elements->front()),
        false));
  std::optional<double> number = build.knownNumber(*value);
  if (number)
    return node.result(build.filled(value->element, *shape, *number));
  node.result(build.broadcast(build.reshape(*value, {}), *shape));
}

/// Of floats that show only when they are there.
static void importOpenRange(NodeImport &node) {
  TensorBuilder &build = node.build();
  const ElementType element = node.input(0).element;
  OpBuilder &builder = build.ops();
  ElementBuilder make(builder, build.where());
  Type wide = builder.getF64Type(), stored = build.typeOf(element);
  Value numbers[3];
  for (size_t place : {0, 1, 2})
    numbers[place] = make.convert(
        TensorBuilder::extract(make, build.tensorOf(build.reshape(node.input(place), {})), {}),
        wide, false);
  Value count = make.make<math::CeilOp>(make.div(make.sub(numbers[1], numbers[0]), numbers[2]));
  count = make.max(count, make.number(wide, 0));
  Size size = build.sizeTable().addOfData(
      make.toIndex(make.convert(count, builder.getI64Type(), false)), /*isNegativePossible=*/false);
  node.result(build.build(element, size, [&](ElementBuilder &inside, ArrayRef<Value> place) {
    Value number = inside.mul(inside.fromIndex(place[0], wide), numbers[2]);
    return inside.convert(inside.add(number, numbers[0]), stored, false);
  }));
}

static void importRange(NodeImport &node) {
  TensorBuilder &build = node.build();
  for (size_t place : {0, 1, 2})
    if (node.input(place).rank() != 0 &&
        !(node.input(place).rank() == 1 && node.input(place).shape[0].is(1)))
      return node.malformed("input {} is {}, wanted a scalar", place,
                            shapeText(node.input(place).shape));
  node.requireSameElement(node.inputs());
  if (node.failed())
    return;
  const ElementType element = node.input(0).element;
  if (isFloat(element)) {
    const std::optional<double> start = build.knownNumber(node.input(0)),
                                limit = build.knownNumber(node.input(1)),
                                step = build.knownNumber(node.input(2));
    if (!start || !limit || !step)
      return importOpenRange(node);
    if (*step == 0)
      return node.malformed("its step is 0");
    const double count = std::max(0.0, std::ceil((*limit - *start) / *step));
    if (count > 1e9)
      return node.malformed("it has {} elements", count);
    return node.result(build.build(element, Size(static_cast<int64_t>(count)),
                                   [&](ElementBuilder &make, ArrayRef<Value> place) {
                                     Type computed = make.ops().getF64Type();
                                     Value number = make.fromIndex(place[0], computed);
                                     Value value =
                                         make.add(make.mul(number, make.number(computed, *step)),
                                                  make.number(computed, *start));
                                     return make.convert(value, build.typeOf(element), false);
                                   }));
  }
  std::optional<SmallVector<Size, 1>> start = node.numbers(0, "the start"),
                                      limit = node.numbers(1, "the limit"),
                                      step = node.numbers(2, "the step");
  if (node.failed())
    return;
  const Size &first = start->front(), &last = limit->front(), &by = step->front();
  if (by.is(0))
    return node.malformed("its step is 0");
  Size count(0);
  if (by.is(1)) {
    count = build.maxOf(last - first, Size(0));
  } else if (by.isKnown() && by.value() > 0) {
    count = build.quotientUp(build.maxOf(last - first, Size(0)), by);
  } else if (by.isKnown()) {
    count = build.quotientUp(build.maxOf(first - last, Size(0)), Size(0) - by);
  } else {
    // Its sign shows when it is there.
    Size isUp = build.compute(SizeOp::Less, {Size(0), by});
    Size up = build.compute(SizeOp::Choice, {isUp, last - first, first - last});
    Size magnitude = build.compute(SizeOp::Choice, {isUp, by, Size(0) - by});
    count = build.quotientUp(build.maxOf(up, Size(0)), magnitude);
  }
  if (count.isKnown() && count.value() <= 64 && first.isKnown() && by.isKnown()) {
    SmallVector<Size, 1> elements;
    for (int64_t place = 0; place < count.value(); ++place)
      elements.push_back(first + by * Size(place));
    GraphValue value = build.ofElements(element, std::move(elements), false);
    if (first.value() >= 0 && by.value() > 0)
      value.below = first + by * (count - Size(1)) + Size(1);
    return node.result(std::move(value));
  }
  Value from = build.indexOf(first), step1 = build.indexOf(by);
  GraphValue value = build.build(element, count, [&](ElementBuilder &make, ArrayRef<Value> place) {
    Value number = place[0];
    if (!by.is(1))
      number = make.mul(number, step1);
    if (!first.is(0))
      number = make.add(number, from);
    return make.fromIndex(number, build.typeOf(element));
  });
  if (build.sizeTable().isNonNegative(first) && by.is(1))
    value.below = build.maxOf(last, first);
  node.result(std::move(value));
}

static void importShape(NodeImport &node) {
  const GraphValue &value = node.input(0);
  const int64_t rank = value.rank();
  auto bounded = [&](int64_t place) {
    return std::clamp<int64_t>(place < 0 ? place + rank : place, 0, rank);
  };
  const int64_t start = bounded(node.integer("start", 0)), end = bounded(node.integer("end", rank));
  SmallVector<Size, 1> sizes;
  for (int64_t dim = start; dim < end; ++dim)
    sizes.push_back(value.shape[dim]);
  node.result(node.build().ofElements(ElementType::Int64, std::move(sizes), false));
}

static void importSize(NodeImport &node) {
  node.result(node.build().ofElements(ElementType::Int64, {productOf(node.input(0).shape)}, true));
}

static void importEyeLike(NodeImport &node) {
  node.requireRank(node.input(0), 2, 2, "its input");
  const std::optional<ElementType> type =
      node.hasAttribute("dtype") ? elementTypeOf(node.integer("dtype", 0)) : node.input(0).element;
  if (!type || !node.build().typeOf(*type))
    node.unsupported("`dtype` is {}", node.integer("dtype", 0));
  if (node.failed())
    return;
  const int64_t k = node.integer("k", 0);
  TensorBuilder &build = node.build();
  Type stored = build.typeOf(*type);
  node.result(
      build.build(*type, node.input(0).shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        return make.select(make.equal(make.add(place[0], make.index(k)), place[1]),
                           make.number(stored, 1), make.number(stored, 0));
      }));
}

static void importTrilu(NodeImport &node) {
  const GraphValue value = node.input(0);
  if (value.rank() < 2)
    return node.malformed("its input is {}, wanted rank 2 or more", shapeText(value.shape));
  const bool isUpper = node.integer("upper", 1) != 0;
  Size k(0);
  if (node.has(1)) {
    std::optional<SmallVector<Size, 1>> numbers = node.numbers(1, "k");
    if (!numbers)
      return;
    if (numbers->size() != 1)
      return node.malformed("k has {} elements, wanted one", numbers->size());
    k = numbers->front();
  }
  TensorBuilder &build = node.build();
  Value tensor = build.tensorOf(value), shift = build.indexOf(k);
  Type stored = build.typeOf(value.element);
  node.result(
      build.build(value.element, value.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        Value row = make.add(place[place.size() - 2], shift), column = place.back();
        Value keeps = isUpper ? make.lessOrEqual(row, column) : make.lessOrEqual(column, row);
        return make.select(keeps, TensorBuilder::extract(make, tensor, place),
                           make.number(stored, 0));
      }));
}

static void importOneHot(NodeImport &node) {
  const GraphValue indices = node.input(0), values = node.input(2);
  std::optional<SmallVector<Size, 1>> numbers;
  if (isFloat(node.input(1).element)) {
    if (!productOf(node.input(1).shape).is(1))
      return node.malformed("its depth is {}, wanted a scalar", shapeText(node.input(1).shape));
    TensorBuilder &build = node.build();
    const std::optional<double> depth = build.knownNumber(node.input(1));
    numbers =
        depth
            ? SmallVector<Size, 1>{Size(static_cast<int64_t>(*depth))}
            : build.numbersOf(build.reshape(build.convert(node.input(1), ElementType::Int64), {}));
  } else {
    numbers = node.numbers(1, "the depth");
  }
  if (values.rank() != 1 || !values.shape[0].is(2))
    node.malformed("its values are {}, wanted two", shapeText(values.shape));
  const int64_t dim = node.dim(node.integer("axis", -1), indices.rank() + 1);
  if (node.failed())
    return;
  if (numbers->size() != 1)
    return node.malformed("its depth has {} elements, wanted one", numbers->size());
  TensorBuilder &build = node.build();
  Sizes shape = indices.shape;
  shape.insert(shape.begin() + dim, numbers->front());
  Value tensor = build.tensorOf(values), places = build.tensorOf(indices),
        depth = build.indexOf(numbers->front());
  const bool noSign = isUnsigned(indices.element), isInside = indices.below.has_value();
  node.result(build.build(values.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
    SmallVector<Value> from(place);
    from.erase(from.begin() + dim);
    Value index = TensorBuilder::extract(make, places, from);
    if (isa<FloatType>(index.getType())) {
      ElementBuilder wide(make.ops(), make.where());
      index = wide.convert(index, make.ops().getI64Type(), false);
    }
    index = ElementBuilder(make.ops(), make.where(), noSign).toIndex(index);
    if (!isInside && !noSign) // counted from the end
      index = make.select(make.less(index, make.index(0)), make.add(index, depth), index);
    Value which = make.select(make.equal(index, place[dim]), make.index(1), make.index(0));
    return TensorBuilder::extract(make, tensor, which);
  }));
}

llvm::ArrayRef<OpRule> moec::constantOps() {
  static const OpRule rules[] = {
      {"",
       "Constant",
       {{11, "sparse_value:sparse value:t", 0, 0},
        {12,
         "sparse_value:sparse value:t value_float:f value_floats:fs value_int:i value_ints:is "
         "value_string:s value_strings:ss",
         0, 0}},
       importConstant},
      {"", "ConstantOfShape", {{9, "value:t", 1, 1}}, importConstantOfShape},
      {"", "Range", {{11, "", 3, 3}, {27, "stash_type:i", 3, 3}}, importRange},
      {"", "Shape", {{1, "", 1, 1}, {15, "end:i start:i", 1, 1}}, importShape},
      {"", "Size", {{1, "", 1, 1}}, importSize},
      {"", "EyeLike", {{9, "dtype:i k:i", 1, 1}}, importEyeLike},
      {"", "Trilu", {{14, "upper:i", 1, 2}}, importTrilu},
      {"", "OneHot", {{11, "axis:i", 3, 3}}, importOneHot},
  };
  return rules;
}
