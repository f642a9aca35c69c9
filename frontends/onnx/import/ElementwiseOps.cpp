// Arithmetic element by element.

#include "frontends/onnx/import/NodeImport.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace moec;
using SizeOp = SizeTable::Operation;

static GraphValue mapUnary(NodeImport &node,
                           llvm::function_ref<Value(ElementBuilder &, Value)> body) {
  return node.build().map(node.input(0).element, node.input(0),
                          [&](ElementBuilder &make, ValueRange x) { return body(make, x[0]); });
}

/// An op of the math dialect, on floats.
template <typename Op> static void importMath(NodeImport &node) {
  node.requireFloat(node.input(0), "its input");
  if (!node.failed())
    node.result(mapUnary(node, [](ElementBuilder &make, Value x) { return make.make<Op>(x); }));
}

static void importIdentity(NodeImport &node) { node.result(node.input(0)); }

static void importAbs(NodeImport &node) {
  node.result(mapUnary(node, [](ElementBuilder &make, Value x) { return make.abs(x); }));
}

static void importNeg(NodeImport &node) {
  GraphValue x = node.input(0);
  if (!x.elements)
    return node.result(mapUnary(node, [](ElementBuilder &make, Value x) { return make.neg(x); }));
  for (Size &element : *x.elements)
    element = Size(0) - element;
  node.result(node.build().ofElements(x.element, *x.elements, x.rank() == 0));
}

static void importReciprocal(NodeImport &node) {
  node.requireFloat(node.input(0), "its input");
  if (!node.failed())
    node.result(mapUnary(node, [](ElementBuilder &make, Value x) { return make.reciprocal(x); }));
}

static void importSign(NodeImport &node) {
  const bool noSign = isUnsigned(node.input(0).element);
  node.result(mapUnary(node, [&](ElementBuilder &make, Value x) {
    Value zero = make.number(x, 0), one = make.number(x, 1);
    Value below = noSign ? zero : make.select(make.less(x, zero), make.number(x, -1), zero);
    return make.select(make.less(zero, x), one, below);
  }));
}

/// log(x + sqrt(x^2 + 1)), without loss for large and small x.
static Value inverseSinh(ElementBuilder &make, Value x) {
  Value magnitude = make.abs(x), one = make.number(x, 1);
  Value square = make.mul(x, x);
  Value root = make.sqrt(make.add(square, one));
  Value more = make.add(magnitude, make.div(square, make.add(root, one)));
  Value result = make.make<math::Log1pOp>(more);
  return make.make<math::CopySignOp>(result, x);
}
static Value inverseCosh(ElementBuilder &make, Value x) {
  Value one = make.number(x, 1);
  return make.log(make.add(x, make.sqrt(make.sub(make.mul(x, x), one))));
}
static Value inverseTanh(ElementBuilder &make, Value x) {
  Value one = make.number(x, 1);
  return make.mul(make.number(x, 0.5),
                  make.sub(make.make<math::Log1pOp>(x), make.log(make.sub(one, x))));
}

template <Value (*body)(ElementBuilder &, Value)> static void importUnary(NodeImport &node) {
  node.requireFloat(node.input(0), "its input");
  if (!node.failed())
    node.result(mapUnary(node, body));
}

// Of two or more tensors

/// Numbers that sizes are made of stay such: element by element, with one that stands for all.
static std::optional<GraphValue>
combineKnown(NodeImport &node, llvm::function_ref<Size(const Size &, const Size &)> combine) {
  const GraphValue &a = node.input(0), &b = node.input(1);
  if (!a.elements || !b.elements || !isInteger(a.element) || elementTypeBits(a.element) < 32)
    return std::nullopt;
  const size_t count = std::max(a.elements->size(), b.elements->size());
  if ((a.elements->size() != count && a.elements->size() != 1) ||
      (b.elements->size() != count && b.elements->size() != 1) || a.elements->empty() ||
      b.elements->empty())
    return std::nullopt;
  SmallVector<Size, 1> result;
  for (size_t place = 0; place < count; ++place)
    result.push_back(combine((*a.elements)[a.elements->size() == 1 ? 0 : place],
                             (*b.elements)[b.elements->size() == 1 ? 0 : place]));
  return node.build().ofElements(a.element, std::move(result), a.rank() == 0 && b.rank() == 0);
}

static void importBinary(NodeImport &node,
                         llvm::function_ref<Size(const Size &, const Size &)> combine,
                         llvm::function_ref<Value(ElementBuilder &, Value, Value)> body) {
  node.requireSameElement({node.input(0), node.input(1)});
  node.broadcastShape({node.input(0), node.input(1)});
  if (node.failed())
    return;
  if (combine)
    if (std::optional<GraphValue> known = combineKnown(node, combine))
      return node.result(std::move(*known));
  node.result(
      node.build().map(node.input(0).element, {node.input(0), node.input(1)},
                       [&](ElementBuilder &make, ValueRange x) { return body(make, x[0], x[1]); }));
}

static void importAdd(NodeImport &node) {
  importBinary(
      node, [](const Size &a, const Size &b) { return a + b; },
      [](ElementBuilder &make, Value a, Value b) { return make.add(a, b); });
}
static void importSub(NodeImport &node) {
  importBinary(
      node, [](const Size &a, const Size &b) { return a - b; },
      [](ElementBuilder &make, Value a, Value b) { return make.sub(a, b); });
}
static void importMul(NodeImport &node) {
  importBinary(
      node, [](const Size &a, const Size &b) { return a * b; },
      [](ElementBuilder &make, Value a, Value b) { return make.mul(a, b); });
}
static void importDiv(NodeImport &node) {
  importBinary(
      node,
      [&](const Size &a, const Size &b) { return node.build().compute(SizeOp::Quotient, {a, b}); },
      [](ElementBuilder &make, Value a, Value b) { return make.div(a, b); });
}

/// The remainder: of fmod with the sign of `a`; else with that of `b`.
static Value remainder(ElementBuilder &make, Value a, Value b, bool isFmod, bool noSign) {
  Value zero = make.number(a, 0);
  if (isa<FloatType>(a.getType())) {
    Value rest = make.make<arith::RemFOp>(a, b);
    if (isFmod)
      return rest;
    Value differs = make.both(make.make<arith::CmpFOp>(arith::CmpFPredicate::UNE, rest, zero),
                              make.make<arith::CmpIOp>(arith::CmpIPredicate::ne,
                                                       make.less(rest, zero), make.less(b, zero)));
    return make.select(differs, make.add(rest, b), rest);
  }
  Value isZero = make.equal(b, zero), one = make.integer(a.getType(), 1);
  if (noSign)
    return make.make<arith::RemUIOp>(a, make.select(isZero, one, b));
  // By 0, and by -1, there is none.
  Value none = make.either(isZero, make.equal(b, make.integer(a.getType(), -1)));
  Value rest = make.make<arith::RemSIOp>(a, make.select(none, one, b));
  if (isFmod)
    return rest;
  Value differs = make.both(make.make<arith::CmpIOp>(arith::CmpIPredicate::ne, rest, zero),
                            make.make<arith::CmpIOp>(arith::CmpIPredicate::ne,
                                                     make.less(rest, zero), make.less(b, zero)));
  return make.select(differs, make.add(rest, b), rest);
}

static void importMod(NodeImport &node) {
  const bool isFmod = node.integer("fmod", 0) != 0, noSign = isUnsigned(node.input(0).element);
  importBinary(
      node,
      [&](const Size &a, const Size &b) {
        SizeTable &sizes = node.build().sizeTable();
        if (sizes.isNonNegative(a) && sizes.isNonNegative(b))
          return node.build().compute(SizeOp::Remainder, {a, b});
        Size rest = node.build().compute(SizeOp::Remainder, {a, b});
        if (isFmod)
          return rest;
        // The sign of b: where it differs, b is added once more.
        Size moved = rest + b;
        return node.build().compute(SizeOp::Remainder, {moved, b});
      },
      [&](ElementBuilder &make, Value a, Value b) {
        return remainder(make, a, b, isFmod, noSign);
      });
}

/// By squares; of a negative power only 1 and -1 leave anything.
static Value wholePower(ElementBuilder &make, Value base, Value power, bool noSign) {
  Type type = base.getType();
  Value zero = make.integer(type, 0), one = make.integer(type, 1), minus = make.integer(type, -1);
  Value isNegative = noSign ? make.integer(make.ops().getI1Type(), 0)
                            : make.make<arith::CmpIOp>(arith::CmpIPredicate::slt, power, zero);
  Value isOdd = make.equal(make.both(power, one), one);
  Value result = one, square = base, rest = power;
  // Of more bits than these only the last matters: higher powers are 0, 1 or -1, or wrapped.
  for (int bit = 0; bit < 6; ++bit) {
    Value takes = make.equal(make.both(rest, one), one);
    result = make.mul(result, make.select(takes, square, one));
    square = make.mul(square, square);
    rest = make.make<arith::ShRUIOp>(rest, one);
  }
  Value unit =
      make.select(make.equal(base, one), one,
                  make.select(make.equal(base, minus), make.select(isOdd, minus, one), zero));
  return make.select(isNegative, unit, result);
}

static void importPow(NodeImport &node) {
  const GraphValue &base = node.input(0), &power = node.input(1);
  node.broadcastShape({base, power});
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  const std::optional<double> exponent = build.knownNumber(power);
  const bool isWhole = !isFloat(base.element);
  node.result(build.map(base.element, {base, power}, [&](ElementBuilder &make, ValueRange x) {
    if (exponent == 2.0)
      return make.mul(x[0], x[0]);
    if (exponent == 1.0)
      return x[0];
    if (exponent == 3.0)
      return make.mul(make.mul(x[0], x[0]), x[0]);
    if (exponent == 0.5 && !isWhole)
      return make.sqrt(x[0]);
    if (isWhole && isInteger(power.element))
      return wholePower(make, x[0],
                        ElementBuilder(make.ops(), make.where(), isUnsigned(power.element))
                            .convert(x[1], x[0].getType(), isUnsigned(base.element)),
                        isUnsigned(power.element));
    Type floats = isWhole ? make.ops().getF64Type() : x[0].getType();
    ElementBuilder ofBase(make.ops(), make.where(), isUnsigned(base.element)),
        ofPower(make.ops(), make.where(), isUnsigned(power.element));
    Value raised = make.make<math::PowFOp>(ofBase.convert(x[0], floats, false),
                                           ofPower.convert(x[1], floats, false));
    return make.convert(raised, x[0].getType(), isUnsigned(base.element));
  }));
}

/// Any number of tensors, folded from the first on.
static void importFold(NodeImport &node, SizeOp operation,
                       llvm::function_ref<Value(ElementBuilder &, Value, Value)> body) {
  std::vector<GraphValue> inputs = node.inputs();
  node.requireSameElement(inputs);
  node.broadcastShape(inputs);
  if (node.failed())
    return;
  if (inputs.size() == 2)
    if (std::optional<GraphValue> known = combineKnown(node, [&](const Size &a, const Size &b) {
          return node.build().compute(operation, {a, b});
        }))
      return node.result(std::move(*known));
  node.result(node.build().map(inputs[0].element, inputs, [&](ElementBuilder &make, ValueRange x) {
    Value all = x[0];
    for (Value each : x.drop_front())
      all = body(make, all, each);
    return all;
  }));
}
static void importMax(NodeImport &node) {
  importFold(node, SizeOp::Max,
             [](ElementBuilder &make, Value a, Value b) { return make.max(a, b); });
}
static void importMin(NodeImport &node) {
  importFold(node, SizeOp::Min,
             [](ElementBuilder &make, Value a, Value b) { return make.min(a, b); });
}

static void importSumOfAll(NodeImport &node, bool isMean) {
  std::vector<GraphValue> inputs = node.inputs();
  node.requireSameElement(inputs);
  node.broadcastShape(inputs);
  node.requireFloat(inputs[0], "its first input");
  if (node.failed())
    return;
  node.result(node.build().map(inputs[0].element, inputs, [&](ElementBuilder &make, ValueRange x) {
    Value all = x[0];
    for (Value each : x.drop_front())
      all = make.add(all, each);
    return isMean ? make.div(all, make.number(all, static_cast<double>(x.size()))) : all;
  }));
}
static void importSum(NodeImport &node) { importSumOfAll(node, false); }
static void importMean(NodeImport &node) { importSumOfAll(node, true); }

static void importClip(NodeImport &node) {
  GraphValue x = node.input(0);
  for (size_t place : {1, 2})
    if (node.has(place) && node.input(place).rank() != 0)
      if (node.input(place).rank() != 1 || !node.input(place).shape[0].is(1))
        return node.malformed("a bound is {}, wanted a scalar", shapeText(node.input(place).shape));
  node.requireSameElement(node.inputs());
  if (node.failed())
    return;
  const bool isBelow = node.has(2), isAbove = node.has(1);
  std::vector<GraphValue> inputs = node.inputs();
  node.result(node.build().map(x.element, inputs, [&](ElementBuilder &make, ValueRange values) {
    Value result = values[0];
    if (isAbove)
      result = make.max(result, values[1]);
    if (isBelow)
      result = make.min(result, values.back());
    return result;
  }));
}

// Bits

template <typename Op> static void importBits(NodeImport &node) {
  node.requireSameElement({node.input(0), node.input(1)});
  node.broadcastShape({node.input(0), node.input(1)});
  if (isFloat(node.input(0).element))
    node.malformed("its inputs are of {}, wanted integers or truth values",
                   elementTypeName(node.input(0).element));
  if (!node.failed())
    node.result(node.build().map(
        node.input(0).element, {node.input(0), node.input(1)},
        [](ElementBuilder &make, ValueRange x) { return make.make<Op>(x[0], x[1]); }));
}

static void importNegation(NodeImport &node) {
  if (isFloat(node.input(0).element))
    return node.malformed("its input is of {}", elementTypeName(node.input(0).element));
  GraphValue x = node.input(0);
  if (x.elements && isBool(x.element)) {
    for (Size &element : *x.elements)
      element = node.build().compute(SizeOp::Not, element);
    return node.result(node.build().ofElements(x.element, *x.elements, x.rank() == 0));
  }
  node.result(mapUnary(node, [](ElementBuilder &make, Value x) { return make.negation(x); }));
}

static void importBitShift(NodeImport &node) {
  const std::string direction = node.text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    return node.malformed("`direction` is '{}', wanted LEFT or RIGHT", shownName(direction));
  const auto bits = static_cast<double>(elementTypeBits(node.input(0).element));
  const bool noSign = isUnsigned(node.input(0).element);
  importBinary(node, nullptr, [&](ElementBuilder &make, Value a, Value b) {
    // So far that nothing is left.
    Value gone = make.make<arith::CmpIOp>(arith::CmpIPredicate::uge, b, make.number(a, bits));
    Value zero = make.number(a, 0), by = make.select(gone, zero, b);
    if (direction == "LEFT")
      return make.select(gone, zero, make.make<arith::ShLIOp>(a, by));
    if (noSign)
      return make.select(gone, zero, make.make<arith::ShRUIOp>(a, by));
    Value most = make.number(a, bits - 1); // all that is left is the sign
    return make.make<arith::ShRSIOp>(a, make.select(gone, most, b));
  });
}

llvm::ArrayRef<OpRule> moec::elementwiseOps() {
  static const OpRule rules[] = {
      {"", "Identity", {{1, "", 1, 1}}, importIdentity},
      {"", "Abs", {{6, "", 1, 1}}, importAbs},
      {"", "Neg", {{6, "", 1, 1}}, importNeg},
      {"", "Sign", {{9, "", 1, 1}}, importSign},
      {"", "Reciprocal", {{6, "", 1, 1}}, importReciprocal},
      {"", "Exp", {{6, "", 1, 1}}, importMath<math::ExpOp>},
      {"", "Log", {{6, "", 1, 1}}, importMath<math::LogOp>},
      {"", "Sqrt", {{6, "", 1, 1}}, importMath<math::SqrtOp>},
      {"", "Floor", {{6, "", 1, 1}}, importMath<math::FloorOp>},
      {"", "Ceil", {{6, "", 1, 1}}, importMath<math::CeilOp>},
      {"", "Round", {{11, "", 1, 1}}, importMath<math::RoundEvenOp>},
      {"", "Erf", {{9, "", 1, 1}}, importMath<math::ErfOp>},
      {"", "Sin", {{7, "", 1, 1}}, importMath<math::SinOp>},
      {"", "Cos", {{7, "", 1, 1}}, importMath<math::CosOp>},
      {"", "Tan", {{7, "", 1, 1}}, importMath<math::TanOp>},
      {"", "Sinh", {{9, "", 1, 1}}, importMath<math::SinhOp>},
      {"", "Cosh", {{9, "", 1, 1}}, importMath<math::CoshOp>},
      {"", "Tanh", {{6, "", 1, 1}}, importMath<math::TanhOp>},
      {"", "Asin", {{7, "", 1, 1}}, importMath<math::AsinOp>},
      {"", "Acos", {{7, "", 1, 1}}, importMath<math::AcosOp>},
      {"", "Atan", {{7, "", 1, 1}}, importMath<math::AtanOp>},
      {"", "Asinh", {{9, "", 1, 1}}, importUnary<inverseSinh>},
      {"", "Acosh", {{9, "", 1, 1}}, importUnary<inverseCosh>},
      {"", "Atanh", {{9, "", 1, 1}}, importUnary<inverseTanh>},
      {"", "Add", {{7, "", 2, 2}}, importAdd},
      {"", "Sub", {{7, "", 2, 2}}, importSub},
      {"", "Mul", {{7, "", 2, 2}}, importMul},
      {"", "Div", {{7, "", 2, 2}}, importDiv},
      {"", "Mod", {{10, "fmod:i", 2, 2}}, importMod},
      {"", "Pow", {{7, "", 2, 2}}, importPow},
      {"", "Max", {{8, "", 1, kAny}}, importMax},
      {"", "Min", {{8, "", 1, kAny}}, importMin},
      {"", "Sum", {{8, "", 1, kAny}}, importSum},
      {"", "Mean", {{8, "", 1, kAny}}, importMean},
      {"", "Clip", {{11, "", 1, 3}}, importClip},
      {"", "And", {{7, "", 2, 2}}, importBits<arith::AndIOp>},
      {"", "Or", {{7, "", 2, 2}}, importBits<arith::OrIOp>},
      {"", "Xor", {{7, "", 2, 2}}, importBits<arith::XOrIOp>},
      {"", "Not", {{1, "", 1, 1}}, importNegation},
      {"", "BitwiseAnd", {{18, "", 2, 2}}, importBits<arith::AndIOp>},
      {"", "BitwiseOr", {{18, "", 2, 2}}, importBits<arith::OrIOp>},
      {"", "BitwiseXor", {{18, "", 2, 2}}, importBits<arith::XOrIOp>},
      {"", "BitwiseNot", {{18, "", 1, 1}}, importNegation},
      {"", "BitShift", {{11, "direction:s", 2, 2}}, importBitShift},
  };
  return rules;
}
