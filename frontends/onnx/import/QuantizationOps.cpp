// Small integers with scales: made of floats, made floats again, and multiplied.

#include "frontends/onnx/import/NodeImport.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace moec;

namespace {
/// How scales and zero points lie beside a tensor: one for all, along a dimension, or for blocks.
struct Scaling {
  int64_t dim = 0, block = 0; ///< block: 0 where there are none
};
} // namespace

static std::optional<Scaling> scalingOf(NodeImport &node, const GraphValue &value,
                                        const GraphValue &scale) {
  Scaling scaling;
  scaling.block = node.integer("block_size", 0);
  if (scale.rank() > 0 || scaling.block)
    scaling.dim = node.dim(node.integer("axis", 1), value.rank());
  if (node.failed())
    return std::nullopt;
  if (scaling.block < 0)
    node.malformed("`block_size` is {}", scaling.block);
  if (scaling.block > 0) {
    if (scale.rank() != value.rank())
      node.malformed("has scales {} for {} in blocks", shapeText(scale.shape),
                     shapeText(value.shape));
  } else if (scale.rank() == 1 && !scale.shape[0].is(1)) {
    node.requireEqual(scale.shape[0], value.shape[scaling.dim], "numbers of scales and of slices");
  } else if (scale.rank() > 1) {
    node.malformed("has scales {}, wanted one, or one for each slice", shapeText(scale.shape));
  }
  return node.failed() ? std::nullopt : std::optional(scaling);
}

/// Scales or zero points as a tensor that broadcasts to `value`.
static GraphValue spread(TensorBuilder &build, const GraphValue &value, const GraphValue &scale,
                         const Scaling &scaling) {
  if (scaling.block > 0) {
    Value tensor = build.tensorOf(scale);
    return build.build(
        scale.element, value.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
          SmallVector<Value> from(place);
          from[scaling.dim] =
              make.make<arith::DivUIOp>(from[scaling.dim], make.index(scaling.block));
          return TensorBuilder::extract(make, tensor, from);
        });
  }
  if (scale.rank() == 0 || scale.shape[0].is(1))
    return build.reshape(scale, {});
  Sizes shape(value.rank() - scaling.dim, Size(1));
  shape.front() = scale.shape[0];
  return build.reshape(scale, shape);
}

static bool isNarrowFloat(ElementType type) { return isFloat(type) && elementTypeBits(type) < 16; }

/// (value - zero) * scale, in f32.
static GraphValue dequantized(TensorBuilder &build, const GraphValue &value,
                              const GraphValue &scale, const std::optional<GraphValue> &zero,
                              ElementType element) {
  std::vector<GraphValue> inputs{value, scale};
  if (zero)
    inputs.push_back(*zero);
  const bool noSign = isUnsigned(value.element);
  return build.map(element, inputs, [&](ElementBuilder &make, ValueRange x) {
    Type wide = make.ops().getI32Type();
    ElementBuilder codes(make.ops(), make.where(), noSign);
    Value code = codes.convert(x[0], wide, false);
    if (x.size() > 2)
      code = make.sub(code, codes.convert(x[2], wide, false));
    Value number = ElementBuilder(make.ops(), make.where()).convert(code, x[1].getType(), false);
    return make.mul(number, x[1]);
  });
}

static void importDequantize(NodeImport &node) {
  const GraphValue value = node.input(0), scale = node.input(1);
  TensorBuilder &build = node.build();
  if (isNarrowFloat(value.element) || !isInteger(value.element))
    node.unsupported("its input is of {}", elementTypeName(value.element));
  node.requireFloat(scale, "its scale");
  ElementType element = scale.element;
  if (const int64_t number = node.integer("output_dtype", 0)) {
    std::optional<ElementType> type = elementTypeOf(number);
    if (!type || !isFloat(*type) || isNarrowFloat(*type))
      return node.unsupported("`output_dtype` is {}", number);
    element = *type;
  }
  if (node.has(2))
    node.requireSameElement({value, node.input(2)});
  if (node.failed())
    return;
  std::optional<Scaling> scaling = scalingOf(node, value, scale);
  if (!scaling)
    return;
  std::optional<GraphValue> zero;
  if (node.has(2))
    zero = spread(build, value, node.input(2), *scaling);
  node.result(dequantized(build, value, spread(build, value, scale, *scaling), zero, element));
}

/// round(value / scale) + zero within the bounds of `to`; ties go to the even number.
static GraphValue quantized(TensorBuilder &build, const GraphValue &value, const GraphValue &scale,
                            const std::optional<GraphValue> &zero, ElementType to) {
  const int64_t bits = elementTypeBits(to);
  const bool noSign = isUnsigned(to);
  const double least = noSign ? 0 : -std::ldexp(1, static_cast<int>(bits) - 1),
               most = std::ldexp(1, static_cast<int>(noSign ? bits : bits - 1)) - 1;
  std::vector<GraphValue> inputs{value, scale};
  if (zero)
    inputs.push_back(*zero);
  return build.map(to, inputs, [&](ElementBuilder &make, ValueRange x) {
    Type type = x[0].getType();
    ElementBuilder codes(make.ops(), make.where(), noSign);
    Value number = make.div(x[0], codes.convert(x[1], type, false));
    number = make.make<math::RoundEvenOp>(number);
    if (x.size() > 2)
      number = make.add(number, codes.convert(x[2], type, false));
    number = make.min(make.max(number, make.number(type, least)), make.number(type, most));
    return make.convert(number, build.typeOf(to), noSign);
  });
}

static void importQuantize(NodeImport &node) {
  const GraphValue value = node.input(0), scale = node.input(1);
  TensorBuilder &build = node.build();
  ElementType to = ElementType::Uint8;
  if (node.has(2))
    to = node.input(2).element;
  else if (const int64_t number = node.integer("output_dtype", 0))
    to = elementTypeOf(number).value_or(ElementType::Undefined);
  if (!isInteger(to))
    return node.unsupported("makes {}", elementTypeName(to));
  if (!isFloat(value.element) && value.element != ElementType::Int32)
    node.unsupported("its input is of {}", elementTypeName(value.element));
  std::optional<Scaling> scaling = node.failed() ? std::nullopt : scalingOf(node, value, scale);
  if (!scaling)
    return;
  std::optional<GraphValue> zero;
  if (node.has(2))
    zero = spread(build, value, node.input(2), *scaling);
  node.result(quantized(
      build, build.convert(value, isFloat(value.element) ? value.element : ElementType::Float),
      spread(build, value, scale, *scaling), zero, to));
}

static void importDynamicQuantize(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireFloat(value, "its input");
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  SmallVector<int64_t> all = llvm::to_vector(llvm::seq<int64_t>(0, value.rank()));
  auto bounded = [&](const GraphValue &extreme, bool isMost) {
    return build.map(ElementType::Float, extreme, [&](ElementBuilder &make, ValueRange x) {
      Value zero = make.number(x[0], 0); // the range includes it
      return isMost ? make.max(x[0], zero) : make.min(x[0], zero);
    });
  };
  GraphValue least = bounded(build.least(value, all), false),
             most = bounded(build.greatest(value, all), true);
  GraphValue scale =
      build.map(ElementType::Float, {least, most}, [](ElementBuilder &make, ValueRange x) {
        return make.div(make.sub(x[1], x[0]), make.number(x[0], 255));
      });
  GraphValue zero =
      build.map(ElementType::Uint8, {least, scale}, [&](ElementBuilder &make, ValueRange x) {
        Value at = make.make<math::RoundEvenOp>(make.div(make.neg(x[0]), x[1]));
        at = make.min(make.max(at, make.number(at, 0)), make.number(at, 255));
        return make.convert(at, build.typeOf(ElementType::Uint8), true);
      });
  node.result(quantized(build, value, scale, zero, ElementType::Uint8), 0);
  node.result(scale, 1);
  node.result(zero, 2);
}

/// Codes less their zero points, as numbers of 32 bits.
static GraphValue centred(TensorBuilder &build, const GraphValue &value,
                          const std::optional<GraphValue> &zero, bool isOfRows) {
  GraphValue wide = build.convert(value, ElementType::Int32);
  if (!zero)
    return wide;
  GraphValue by = build.convert(*zero, ElementType::Int32);
  if (by.rank() == 1 && by.shape[0].is(1))
    by = build.reshape(by, {});
  else if (by.rank() == 1 && isOfRows)
    by = build.unsqueeze(by, 1);
  return build.sub(wide, by);
}

static void importMatMulInteger(NodeImport &node) {
  TensorBuilder &build = node.build();
  std::optional<GraphValue> aZero, bZero;
  if (node.has(2))
    aZero = node.input(2);
  if (node.has(3))
    bZero = node.input(3);
  for (size_t place : {0, 1})
    if (!isInteger(node.input(place).element))
      return node.malformed("multiplies {}", elementTypeName(node.input(place).element));
  GraphValue product = matmul(node, centred(build, node.input(0), aZero, true),
                              centred(build, node.input(1), bZero, false));
  if (!node.failed())
    node.result(product);
}

static void importQlinearMatMul(NodeImport &node) {
  TensorBuilder &build = node.build();
  const GraphValue a = node.input(0), b = node.input(3);
  if (!isInteger(a.element) || !isInteger(b.element) || !isInteger(node.input(7).element))
    return node.unsupported("multiplies {} and {}", elementTypeName(a.element),
                            elementTypeName(b.element));
  for (size_t place : {1, 4, 6})
    if (!productOf(node.input(place).shape).is(1))
      return node.unsupported("has scales {}", shapeText(node.input(place).shape));
  auto single = [&](size_t place) { return build.reshape(node.input(place), {}); };
  GraphValue product =
      matmul(node, centred(build, a, single(2), true), centred(build, b, single(5), false));
  if (node.failed())
    return;
  GraphValue real = build.map(
      ElementType::Float, {product, single(1), single(4)}, [](ElementBuilder &make, ValueRange x) {
        Type type = make.ops().getF32Type();
        Value scale = make.mul(make.convert(x[1], type, false), make.convert(x[2], type, false));
        return make.mul(make.convert(x[0], type, false), scale);
      });
  node.result(quantized(build, real, single(6), single(7), node.input(7).element));
}

/// Rows of codes of `bits` bits in blocks, each with a scale and perhaps a zero point.
static void importMatMulNBits(NodeImport &node) {
  TensorBuilder &build = node.build();
  const GraphValue a = node.input(0), codes = node.input(1), scales = node.input(2);
  const int64_t columns = node.integer("K", 0), rows = node.integer("N", 0),
                bits = node.integer("bits", 4), block = node.integer("block_size", 0);
  node.requireFloat(a, "its input");
  if (columns < 1 || rows < 1 || block < 16 || (bits != 2 && bits != 4 && bits != 8))
    node.malformed("`K` is {}, `N` {}, `bits` {} and `block_size` {}", columns, rows, bits, block);
  if (node.integer("weight_prepacked", 0) != 0 || node.has(4))
    node.unsupported("its weight is prepacked, or in another order");
  if (codes.element != ElementType::Uint8)
    node.malformed("its codes are of {}, wanted UINT8", elementTypeName(codes.element));
  if (node.failed())
    return;
  const int64_t blocks = (columns + block - 1) / block, perByte = 8 / bits;
  const int64_t zeroBytes = (blocks + perByte - 1) / perByte;
  node.requireEqual(productOf(codes.shape), Size(rows * blocks * block / perByte),
                    "bytes of codes, there and wanted");
  node.requireEqual(productOf(scales.shape), Size(rows * blocks), "scales, there and wanted");
  if (a.rank() < 1)
    node.malformed("multiplies a scalar");
  if (node.failed())
    return;
  Value bytes = build.tensorOf(build.reshape(codes, {Size(rows), Size(blocks * block / perByte)})),
        scale = build.tensorOf(build.reshape(scales, {Size(rows), Size(blocks)})), zero;
  bool zerosAreFloats = false;
  if (node.has(3)) {
    zerosAreFloats = isFloat(node.input(3).element);
    const Size each = Size(zerosAreFloats ? blocks : zeroBytes);
    node.requireEqual(productOf(node.input(3).shape), Size(rows) * each,
                      "zero points, there and wanted");
    if (node.failed())
      return;
    zero = build.tensorOf(build.reshape(node.input(3), {Size(rows), each}));
  }
  Type f32 = build.ops().getF32Type();
  auto codeAt = [&](ElementBuilder &make, Value tensor, Value row, Value place) -> Value {
    Value many = make.index(perByte);
    Value byte =
        TensorBuilder::extract(make, tensor, {row, make.make<arith::DivUIOp>(place, many)});
    if (bits < 8) {
      Value by = make.mul(make.make<arith::RemUIOp>(place, many), make.index(bits));
      byte = make.make<arith::ShRUIOp>(byte, make.fromIndex(by, byte.getType()));
      byte = make.make<arith::AndIOp>(byte, make.integer(byte.getType(), (1 << bits) - 1));
    }
    return make.make<arith::UIToFPOp>(f32, byte);
  };
  GraphValue weight = build.build(
      ElementType::Float, {Size(rows), Size(columns)},
      [&](ElementBuilder &make, ArrayRef<Value> at) {
        Value which = make.make<arith::DivUIOp>(at[1], make.index(block));
        Value by = make.convert(TensorBuilder::extract(make, scale, {at[0], which}), f32, false);
        Value middle = make.number(f32, 1 << (bits - 1));
        if (zero && zerosAreFloats)
          middle = make.convert(TensorBuilder::extract(make, zero, {at[0], which}), f32, false);
        else if (zero)
          middle = codeAt(make, zero, at[0], which);
        return make.mul(make.sub(codeAt(make, bytes, at[0], at[1]), middle), by);
      });
  GraphValue turned = build.transpose(weight, {1, 0});
  GraphValue product = matmul(node, build.convert(a, ElementType::Float), turned);
  if (node.failed())
    return;
  if (node.has(5))
    product = build.add(product, build.convert(node.input(5), ElementType::Float));
  node.result(build.convert(product, a.element));
}

llvm::ArrayRef<OpRule> moec::quantizationOps() {
  static const OpRule rules[] = {
      {"",
       "QuantizeLinear",
       {{10, "", 2, 3},
        {13, "axis:i", 2, 3},
        {19, "axis:i saturate:i", 2, 3},
        {21, "axis:i block_size:i output_dtype:i saturate:i", 2, 3},
        {23, "axis:i block_size:i output_dtype:i precision:i saturate:i", 2, 3}},
       importQuantize},
      {"",
       "DequantizeLinear",
       {{10, "", 2, 3},
        {13, "axis:i", 2, 3},
        {21, "axis:i block_size:i", 2, 3},
        {23, "axis:i block_size:i output_dtype:i", 2, 3}},
       importDequantize},
      {"", "DynamicQuantizeLinear", {{11, "", 1, 1, 3, 3}}, importDynamicQuantize},
      {"", "MatMulInteger", {{10, "", 2, 4}}, importMatMulInteger},
      {"", "QLinearMatMul", {{10, "", 8, 8}}, importQlinearMatMul},
      {"com.microsoft",
       "MatMulNBits",
       {{1, "K:i N:i accuracy_level:i bits:i block_size:i weight_prepacked:i", 3, 6}},
       importMatMulNBits},
  };
  return rules;
}
