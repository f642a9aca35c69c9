// Tensors as IR: their types, constants, and loops over all their elements.

#include "frontends/onnx/import/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;

/// Elements beyond which whole numbers are not followed one by one.
static constexpr int64_t kMostFollowed = 64;

bool moec::isFloat(ElementType type) {
  switch (type) {
  case ElementType::Float:
  case ElementType::Double:
  case ElementType::Float16:
  case ElementType::Bfloat16:
  case ElementType::Float8E4M3FN:
  case ElementType::Float8E4M3FNUZ:
  case ElementType::Float8E5M2:
  case ElementType::Float8E5M2FNUZ:
  case ElementType::Float4E2M1:
  case ElementType::Float8E8M0:
  case ElementType::Float6E2M3:
  case ElementType::Float6E3M2:
    return true;
  default:
    return false;
  }
}

bool moec::isUnsigned(ElementType type) {
  switch (type) {
  case ElementType::Uint8:
  case ElementType::Uint16:
  case ElementType::Uint32:
  case ElementType::Uint64:
  case ElementType::Uint4:
  case ElementType::Uint2:
    return true;
  default:
    return false;
  }
}

bool moec::isInteger(ElementType type) {
  switch (type) {
  case ElementType::Int8:
  case ElementType::Int16:
  case ElementType::Int32:
  case ElementType::Int64:
  case ElementType::Int4:
  case ElementType::Int2:
    return true;
  default:
    return isUnsigned(type);
  }
}

bool moec::isBool(ElementType type) { return type == ElementType::Bool; }

std::optional<int64_t> moec::normalizedDim(int64_t dim, int64_t rank) {
  if (dim < -rank || dim >= rank)
    return std::nullopt;
  return dim < 0 ? dim + rank : dim;
}

Type TensorBuilder::typeOf(ElementType element) {
  if (isInteger(element) || isBool(element))
    return builder.getIntegerType(isBool(element) ? 1
                                                  : std::max<int64_t>(8, elementTypeBits(element)));
  switch (element) {
  case ElementType::Float:
    return builder.getF32Type();
  case ElementType::Double:
    return builder.getF64Type();
  case ElementType::Float16:
    return builder.getF16Type();
  case ElementType::Bfloat16:
    return builder.getBF16Type();
  case ElementType::Float8E4M3FN:
    return builder.getType<Float8E4M3FNType>();
  case ElementType::Float8E4M3FNUZ:
    return builder.getType<Float8E4M3FNUZType>();
  case ElementType::Float8E5M2:
    return builder.getType<Float8E5M2Type>();
  case ElementType::Float8E5M2FNUZ:
    return builder.getType<Float8E5M2FNUZType>();
  case ElementType::Float4E2M1:
    return builder.getType<Float4E2M1FNType>();
  case ElementType::Float8E8M0:
    return builder.getType<Float8E8M0FNUType>();
  case ElementType::Float6E2M3:
    return builder.getType<Float6E2M3FNType>();
  case ElementType::Float6E3M2:
    return builder.getType<Float6E3M2FNType>();
  default:
    return {};
  }
}

RankedTensorType TensorBuilder::typeOf(ElementType element, ArrayRef<Size> shape) {
  SmallVector<int64_t> sizes;
  for (const Size &size : shape)
    sizes.push_back(size.isKnown() ? size.value() : ShapedType::kDynamic);
  return RankedTensorType::get(sizes, typeOf(element));
}

std::optional<Sizes> TensorBuilder::broadcastShape(ArrayRef<ArrayRef<Size>> shapes) {
  size_t rank = 0;
  for (ArrayRef<Size> shape : shapes)
    rank = std::max(rank, shape.size());
  Sizes result(rank, Size(1));
  for (ArrayRef<Size> shape : shapes)
    for (auto [place, size] : llvm::enumerate(shape)) {
      Size &all = result[rank - shape.size() + place];
      if (size.is(1) || size == all)
        continue;
      if (all.is(1))
        all = size;
      else if (size.isKnown() && all.isKnown())
        return std::nullopt;
      else if (size.isKnown())
        all = size; // the other turns out to be as large, or 1
      else if (sizes.isOneBeside(all, size))
        all = size;
      else if (!sizes.isOneBeside(size, all))
        all = maxOf(all, size);
    }
  return result;
}

void TensorBuilder::requireEqual(const Size &a, const Size &b, const std::string &message) {
  if (a == b)
    return;
  Value isEqual =
      arith::CmpIOp::create(builder, location, arith::CmpIPredicate::eq, indexOf(a), indexOf(b));
  require(isEqual, message);
}

void TensorBuilder::require(Value condition, const std::string &message) {
  cf::AssertOp::create(builder, location, condition, message);
}

// Values

GraphValue TensorBuilder::ofElements(ElementType element, SmallVector<Size, 1> elements,
                                     bool isScalar) {
  GraphValue value;
  value.element = element;
  if (!isScalar)
    value.shape.push_back(Size(elements.size()));
  value.elements = std::move(elements);
  return value;
}

static TypedAttr scalarAttribute(Type type, double number) {
  Builder builder(type.getContext());
  if (isa<FloatType>(type))
    return builder.getFloatAttr(type, number);
  return builder.getIntegerAttr(type, static_cast<int64_t>(number));
}

GraphValue TensorBuilder::scalar(ElementType element, double number) {
  if (!isFloat(element))
    return ofElements(element, {Size(static_cast<int64_t>(number))}, /*isScalar=*/true);
  RankedTensorType type = typeOf(element, {});
  return ofTensor(arith::ConstantOp::create(
                      builder, location,
                      DenseElementsAttr::get(type, scalarAttribute(type.getElementType(), number))),
                  element, {});
}

TypedAttr TensorBuilder::zeroOf(ElementType element) { return scalarAttribute(typeOf(element), 0); }

Value TensorBuilder::constantTensor(const GraphValue &value) {
  RankedTensorType type = typeOf(value.element, value.shape);
  SmallVector<APInt> numbers;
  for (const Size &element : *value.elements)
    numbers.push_back(APInt(type.getElementTypeBitWidth(), static_cast<uint64_t>(element.value()),
                            /*isSigned=*/false, /*implicitTrunc=*/true));
  return arith::ConstantOp::create(builder, location, DenseElementsAttr::get(type, numbers));
}

Value TensorBuilder::tensorOf(const GraphValue &value) {
  if (value.tensor)
    return value.tensor;
  if (value.isKnown())
    return constantTensor(value);
  if (value.elements) {
    Type type = typeOf(value.element);
    ElementBuilder make(builder, location);
    SmallVector<Value> numbers;
    for (const Size &element : *value.elements) {
      Value index = indexOf(element);
      numbers.push_back(isBool(value.element) ? make.make<arith::CmpIOp>(arith::CmpIPredicate::ne,
                                                                         index, make.index(0))
                                              : make.fromIndex(index, type));
    }
    return tensor::FromElementsOp::create(builder, location, typeOf(value.element, value.shape),
                                          numbers);
  }
  assert(value.constant && "a value has IR, elements or a stored tensor");
  return loadConstant(*value.constant);
}

TypedAttr TensorBuilder::scalarConstant(const GraphValue &value) {
  if (value.elements && value.elements->size() == 1 && value.isKnown())
    return builder.getIntegerAttr(typeOf(value.element),
                                  APInt(typeOf(value.element).getIntOrFloatBitWidth(),
                                        static_cast<uint64_t>(value.elements->front().value()),
                                        false, true));
  DenseElementsAttr elements;
  if (value.tensor)
    if (auto constant = value.tensor.getDefiningOp<arith::ConstantOp>())
      elements = dyn_cast<DenseElementsAttr>(constant.getValue());
  if (!elements || (!elements.isSplat() && elements.getNumElements() != 1))
    return {};
  return cast<TypedAttr>(elements.getSplatValue<Attribute>());
}

std::optional<double> TensorBuilder::knownNumber(const GraphValue &value) {
  TypedAttr attribute = scalarConstant(value);
  if (auto real = dyn_cast_or_null<FloatAttr>(attribute))
    return real.getValueAsDouble();
  if (auto integer = dyn_cast_or_null<IntegerAttr>(attribute))
    return isUnsigned(value.element) || isBool(value.element)
               ? integer.getValue().roundToDouble(false)
               : integer.getValue().roundToDouble(true);
  return std::nullopt;
}

std::optional<SmallVector<Size, 1>> TensorBuilder::numbersOf(const GraphValue &value) {
  if (value.elements)
    return value.elements;
  if (value.rank() > 1 || isFloat(value.element) ||
      (value.rank() == 1 && !(value.shape[0].isKnown() && value.shape[0].value() <= kMostFollowed)))
    return std::nullopt;
  SmallVector<Size, 1> numbers;
  ElementBuilder make(builder, location, isUnsigned(value.element));
  Value tensor = tensorOf(value);
  const int64_t count = value.rank() == 0 ? 1 : value.shape[0].value();
  for (int64_t place = 0; place < count; ++place) {
    Value element = extract(
        make, tensor, value.rank() == 0 ? ArrayRef<Value>() : ArrayRef<Value>(make.index(place)));
    if (isBool(value.element))
      element = make.make<arith::IndexCastUIOp>(builder.getIndexType(), element);
    else
      element = make.toIndex(element);
    numbers.push_back(
        sizes.addOfData(element, !value.below && !isBool(value.element),
                        isBool(value.element) ? std::optional(Size(1)) : value.below));
  }
  return numbers;
}

Value TensorBuilder::empty(ElementType element, ArrayRef<Size> shape) {
  Sizes whole(shape);
  for (Size &size : whole)
    size = sizes.bound(size).value_or(size);
  auto folded = [&](const Size &size) -> OpFoldResult {
    if (size.isKnown())
      return builder.getIndexAttr(size.value());
    return indexOf(size);
  };
  Value all = tensor::EmptyOp::create(builder, location, llvm::map_to_vector(whole, folded),
                                      typeOf(element));
  if (ArrayRef<Size>(whole) == shape)
    return all;
  SmallVector<OpFoldResult> zeros(shape.size(), builder.getIndexAttr(0)),
      ones(shape.size(), builder.getIndexAttr(1));
  return tensor::ExtractSliceOp::create(builder, location, typeOf(element, shape), all, zeros,
                                        llvm::map_to_vector(shape, folded), ones);
}

static Value fill(OpBuilder &builder, Location location, TypedAttr number, Value into) {
  Value constant = arith::ConstantOp::create(builder, location, number);
  return linalg::FillOp::create(builder, location, constant, into).getResult(0);
}

GraphValue TensorBuilder::filled(ElementType element, ArrayRef<Size> shape, double number) {
  return ofTensor(
      fill(builder, location, scalarAttribute(typeOf(element), number), empty(element, shape)),
      element, Sizes(shape));
}

// Loops over all elements

Type TensorBuilder::computedType(Type stored) {
  auto floats = dyn_cast<FloatType>(stored);
  return floats && floats.getWidth() < 32 ? builder.getF32Type() : stored;
}

/// `computed` as an element of a tensor of `type`.
Value TensorBuilder::stored(ElementBuilder &make, Value computed, Type type, bool isUnsigned) {
  return isa<FloatType>(computed.getType()) && isa<FloatType>(type)
             ? make.convert(computed, type, isUnsigned)
             : computed;
}

static Value widened(ElementBuilder &make, Value value) {
  auto floats = dyn_cast<FloatType>(value.getType());
  if (!floats || floats.getWidth() >= 32)
    return value;
  return make.convert(value, Float32Type::get(value.getContext()), false);
}

GraphValue TensorBuilder::map(ElementType element, Values inputs, MapBody body) {
  SmallVector<ArrayRef<Size>> shapes;
  bool readsUnsigned = false;
  for (const GraphValue &input : inputs) {
    shapes.push_back(input.shape);
    readsUnsigned |= isUnsigned(input.element);
  }
  Sizes shape = *broadcastShape(shapes);
  MLIRContext *context = builder.getContext();
  const auto rank = static_cast<unsigned>(shape.size());

  SmallVector<Value> operands;
  SmallVector<TypedAttr> constants; // null: the next of `operands`
  SmallVector<AffineMap> maps;
  for (const GraphValue &input : inputs) {
    constants.push_back(scalarConstant(input));
    if (constants.back())
      continue;
    GraphValue operand = input;
    SmallVector<AffineExpr> places;
    const unsigned first = rank - input.rank();
    for (auto [dim, size] : llvm::enumerate(input.shape))
      if (size != shape[first + dim] && !size.is(1)) {
        operand = broadcast(input, shape);
        places.clear();
        break;
      } else {
        places.push_back(size == shape[first + dim] ? builder.getAffineDimExpr(first + dim)
                                                    : builder.getAffineConstantExpr(0));
      }
    if (operand.rank() == rank && operand.shape == shape)
      maps.push_back(AffineMap::getMultiDimIdentityMap(rank, context));
    else
      maps.push_back(AffineMap::get(rank, 0, places, context));
    operands.push_back(tensorOf(operand));
  }
  Value out = empty(element, shape);
  maps.push_back(AffineMap::getMultiDimIdentityMap(rank, context));
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      builder, location, out.getType(), operands, out, maps, iterators,
      [&](OpBuilder &inside, Location where, ValueRange arguments) {
        ElementBuilder make(inside, where, readsUnsigned);
        SmallVector<Value> elements;
        size_t next = 0;
        for (TypedAttr constant : constants)
          elements.push_back(widened(
              make, constant ? arith::ConstantOp::create(inside, where, constant).getResult()
                             : arguments[next++]));
        Value result = stored(make, body(make, elements), typeOf(element), isUnsigned(element));
        linalg::YieldOp::create(inside, where, result);
      });
  return ofTensor(generic.getResult(0), element, std::move(shape));
}

GraphValue TensorBuilder::build(ElementType element, ArrayRef<Size> shape, PlaceBody body) {
  const auto rank = static_cast<unsigned>(shape.size());
  Value out = empty(element, shape);
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  auto generic =
      linalg::GenericOp::create(builder, location, out.getType(), ValueRange(), out,
                                AffineMap::getMultiDimIdentityMap(rank, builder.getContext()),
                                iterators, [&](OpBuilder &inside, Location where, ValueRange) {
                                  ElementBuilder make(inside, where);
                                  SmallVector<Value> place;
                                  for (unsigned dim = 0; dim < rank; ++dim)
                                    place.push_back(linalg::IndexOp::create(inside, where, dim));
                                  linalg::YieldOp::create(inside, where, body(make, place));
                                });
  return ofTensor(generic.getResult(0), element, Sizes(shape));
}

/// The element type that sums of `element` have.
static ElementType summedType(ElementType element) {
  return isFloat(element) && elementTypeBits(element) < 32 ? ElementType::Float : element;
}

GraphValue TensorBuilder::reduce(const GraphValue &input, Dims dims, TypedAttr start,
                                 FoldBody body) {
  MLIRContext *context = builder.getContext();
  const auto rank = static_cast<unsigned>(input.rank());
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  for (int64_t dim : dims)
    iterators[dim] = utils::IteratorType::reduction;
  Sizes shape;
  SmallVector<AffineExpr> kept;
  for (unsigned dim = 0; dim < rank; ++dim)
    if (iterators[dim] == utils::IteratorType::parallel) {
      shape.push_back(input.shape[dim]);
      kept.push_back(builder.getAffineDimExpr(dim));
    }
  const ElementType element = summedType(input.element);
  Value out = fill(builder, location, start, empty(element, shape));
  AffineMap maps[] = {AffineMap::getMultiDimIdentityMap(rank, context),
                      AffineMap::get(rank, 0, kept, context)};
  auto generic = linalg::GenericOp::create(
      builder, location, out.getType(), tensorOf(input), out, maps, iterators,
      [&](OpBuilder &inside, Location where, ValueRange arguments) {
        ElementBuilder make(inside, where, isUnsigned(input.element));
        linalg::YieldOp::create(inside, where,
                                body(make, widened(make, arguments[0]), arguments[1]));
      });
  return ofTensor(generic.getResult(0), element, std::move(shape));
}

GraphValue TensorBuilder::sum(const GraphValue &input, Dims dims) {
  return reduce(
      input, dims, zeroOf(summedType(input.element)),
      [](ElementBuilder &make, Value element, Value sum) { return make.add(sum, element); });
}

/// The smallest number of a type, or the largest.
static TypedAttr extreme(Type type, bool isUnsigned, bool isLargest) {
  Builder builder(type.getContext());
  if (auto floats = dyn_cast<FloatType>(type))
    return builder.getFloatAttr(
        floats, APFloat::getInf(floats.getFloatSemantics(), /*Negative=*/!isLargest));
  const unsigned bits = type.getIntOrFloatBitWidth();
  if (isUnsigned || bits == 1)
    return builder.getIntegerAttr(type,
                                  isLargest ? APInt::getMaxValue(bits) : APInt::getMinValue(bits));
  return builder.getIntegerAttr(type, isLargest ? APInt::getSignedMaxValue(bits)
                                                : APInt::getSignedMinValue(bits));
}

GraphValue TensorBuilder::greatest(const GraphValue &input, Dims dims) {
  TypedAttr start = extreme(typeOf(summedType(input.element)), isUnsigned(input.element), false);
  return reduce(input, dims, start, [&](ElementBuilder &make, Value element, Value most) {
    return isBool(input.element) ? make.either(most, element) : make.max(most, element);
  });
}

GraphValue TensorBuilder::least(const GraphValue &input, Dims dims) {
  TypedAttr start = extreme(typeOf(summedType(input.element)), isUnsigned(input.element), true);
  return reduce(input, dims, start, [&](ElementBuilder &make, Value element, Value least) {
    return isBool(input.element) ? make.both(least, element) : make.min(least, element);
  });
}

GraphValue TensorBuilder::contract(const GraphValue &a, Dims aLoops, const GraphValue &b,
                                   Dims bLoops, Dims resultLoops, ArrayRef<Size> loops) {
  MLIRContext *context = builder.getContext();
  const auto count = static_cast<unsigned>(loops.size());
  SmallVector<utils::IteratorType> iterators(count, utils::IteratorType::reduction);
  Sizes shape;
  for (int64_t loop : resultLoops) {
    iterators[loop] = utils::IteratorType::parallel;
    shape.push_back(loops[loop]);
  }
  auto mapOf = [&](Dims dims) {
    SmallVector<AffineExpr> places;
    for (int64_t loop : dims)
      places.push_back(loop < 0 ? builder.getAffineConstantExpr(0)
                                : builder.getAffineDimExpr(loop));
    return AffineMap::get(count, 0, places, context);
  };
  const ElementType element = summedType(a.element);
  Value out = fill(builder, location, zeroOf(element), empty(element, shape));
  AffineMap maps[] = {mapOf(aLoops), mapOf(bLoops), mapOf(resultLoops)};
  auto generic = linalg::GenericOp::create(
      builder, location, out.getType(), ValueRange{tensorOf(a), tensorOf(b)}, out, maps, iterators,
      [&](OpBuilder &inside, Location where, ValueRange arguments) {
        ElementBuilder make(inside, where, isUnsigned(a.element));
        Value product = make.mul(widened(make, arguments[0]), widened(make, arguments[1]));
        linalg::YieldOp::create(inside, where, make.add(arguments[2], product));
      });
  return ofTensor(generic.getResult(0), element, std::move(shape));
}

// Arithmetic, by element

GraphValue TensorBuilder::convert(const GraphValue &value, ElementType to) {
  if (value.element == to)
    return value;
  if (value.elements && isInteger(to)) {
    const auto bits = static_cast<unsigned>(elementTypeBits(to));
    GraphValue result = value;
    result.element = to;
    result.constant = nullptr;
    result.tensor = {};
    for (Size &element : *result.elements)
      if (element.isKnown() && bits < 64) {
        const APInt number(bits, static_cast<uint64_t>(element.value()), false, true);
        element = Size(isUnsigned(to) ? static_cast<int64_t>(number.getZExtValue())
                                      : number.getSExtValue());
      }
    return result;
  }
  GraphValue result = map(to, value, [&](ElementBuilder &make, ValueRange element) {
    return make.convert(element[0], typeOf(to), isUnsigned(to));
  });
  if (isInteger(to) && isInteger(value.element) && elementTypeBits(to) >= 32)
    result.below = value.below;
  return result;
}

GraphValue TensorBuilder::add(const GraphValue &a, const GraphValue &b) {
  return map(a.element, {a, b},
             [](ElementBuilder &make, ValueRange x) { return make.add(x[0], x[1]); });
}
GraphValue TensorBuilder::sub(const GraphValue &a, const GraphValue &b) {
  return map(a.element, {a, b},
             [](ElementBuilder &make, ValueRange x) { return make.sub(x[0], x[1]); });
}
GraphValue TensorBuilder::mul(const GraphValue &a, const GraphValue &b) {
  return map(a.element, {a, b},
             [](ElementBuilder &make, ValueRange x) { return make.mul(x[0], x[1]); });
}
GraphValue TensorBuilder::div(const GraphValue &a, const GraphValue &b) {
  return map(a.element, {a, b},
             [](ElementBuilder &make, ValueRange x) { return make.div(x[0], x[1]); });
}

GraphValue TensorBuilder::softmax(const GraphValue &value, int64_t dim) {
  GraphValue most = unsqueeze(greatest(value, dim), dim);
  GraphValue powers = map(most.element, {value, most}, [](ElementBuilder &make, ValueRange x) {
    return make.exp(make.sub(x[0], x[1]));
  });
  GraphValue total = unsqueeze(sum(powers, dim), dim);
  return map(value.element, {powers, total},
             [](ElementBuilder &make, ValueRange x) { return make.div(x[0], x[1]); });
}

Value TensorBuilder::extract(ElementBuilder &make, Value tensor, ArrayRef<Value> place) {
  return make.make<tensor::ExtractOp>(tensor, place);
}
