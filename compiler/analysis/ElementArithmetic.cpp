// What ops on single numbers make of expressions.

#include "compiler/analysis/TensorElements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace moec;
using Kind = Element::Kind;

Expr TensorElements::inScope(Value value, Scope &scope, ArrayRef<Expr> loops) {
  if (Expr found = scope.lookup(value))
    return found;
  Operation *op = value.getDefiningOp();
  if (!op || op->getNumResults() != 1 || op->getNumRegions() != 0)
    return nullptr;
  if (auto index = dyn_cast<linalg::IndexOp>(op))
    return loops.empty() ? nullptr : loops[index.getDim()];
  Attribute constant;
  if (matchPattern(value, m_Constant(&constant)))
    return isa<FloatAttr, IntegerAttr>(constant) ? expressions.number(constant) : nullptr;
  auto extract = dyn_cast<tensor::ExtractOp>(op);
  if (auto size = dyn_cast<tensor::DimOp>(op))
    if (std::optional<int64_t> dimension = size.getConstantIndex();
        dimension && isa<RankedTensorType>(size.getSource().getType()))
      return sizeOf(size.getSource(), *dimension);
  if (!extract && !isa<arith::ArithDialect>(op->getDialect()) &&
      op->getDialect()->getNamespace() != "math")
    // In the body of a loop it may be another one each time.
    return isa<linalg::LinalgOp>(op->getParentOp()) ? nullptr : expressions.read(value, {});
  SmallVector<Expr> operands;
  for (Value operand : op->getOperands()) {
    if (extract && operand == extract.getTensor())
      continue;
    Expr known = inScope(operand, scope, loops);
    if (!known)
      return nullptr;
    operands.push_back(known);
  }
  return scope[value] = extract ? at(extract.getTensor(), operands) : apply(op, operands);
}

/// The op's result where all operands are numbers; null where they are not.
Expr TensorElements::foldNumbers(Operation *op, ArrayRef<Expr> operands) {
  SmallVector<Attribute> attributes;
  for (auto [operand, value] : llvm::zip(operands, op->getOperands())) {
    if (!operand->is(Kind::Number))
      return nullptr;
    auto integer = dyn_cast<IntegerAttr>(operand->attribute);
    attributes.push_back(integer && !integer.getType().isInteger(1)
                             ? Attribute(IntegerAttr::get(value.getType(), integer.getInt()))
                             : operand->attribute);
  }
  SmallVector<OpFoldResult> results;
  if (failed(op->fold(attributes, results)) || results.size() != 1)
    return nullptr;
  auto attribute = dyn_cast<Attribute>(results[0]);
  return attribute && isa<FloatAttr, IntegerAttr>(attribute) ? expressions.number(attribute)
                                                             : nullptr;
}

Expr TensorElements::apply(Operation *op, ArrayRef<Expr> operands) {
  if (Expr folded = foldNumbers(op, operands))
    return folded;
  if (auto select = dyn_cast<arith::SelectOp>(op))
    return expressions.select(operands[0], operands[1], operands[2]);
  // Of one of two numbers the op makes one of two numbers.
  for (auto [side, operand] : llvm::enumerate(operands)) {
    if (!operand->applies("select"))
      continue;
    SmallVector<Expr> yes(operands), no(operands);
    yes[side] = operand->operands[1];
    no[side] = operand->operands[2];
    Expr first = foldNumbers(op, yes), second = foldNumbers(op, no);
    if (first && second)
      return expressions.select(operand->operands[0], first, second);
  }
  if (isa<arith::CmpIOp>(op))
    return compare(op, operands);
  if (Expr integer = integerOp(op, operands))
    return integer;
  if (operands.size() == 1)
    if (Expr same = convert(op, operands[0]))
      return same;
  // Leave to compute otherwise changes nothing.
  const bool isPlain =
      isa<arith::ArithFastMathInterface>(op) && !isa<arith::CmpFOp, arith::TruncFOp>(op);
  return expressions.apply(op->getName().getStringRef(), operands,
                           isPlain ? Attribute() : op->getPropertiesAsAttribute());
}

/// Whether integers of the type are taken for whole numbers.
static bool isWide(Type type) { return type.isIndex() || type.isInteger(64); }

Expr TensorElements::integerOp(Operation *op, ArrayRef<Expr> operands) {
  Type type = op->getResult(0).getType();
  if (operands.size() != 2)
    return nullptr;
  Expr a = operands[0], b = operands[1];
  if (type.isInteger(1)) {
    if (isa<arith::AndIOp>(op))
      return expressions.both(a, b);
    if (isa<arith::OrIOp>(op))
      return expressions.either(a, b);
    if (isa<arith::XOrIOp>(op) && b == expressions.boolean(true))
      return expressions.negation(a);
    return nullptr;
  }
  if (!isWide(type))
    return nullptr;
  const bool isUnsignedSafe = expressions.isNonNegative(a) && expressions.isNonNegative(b);
  if (isa<arith::AddIOp>(op))
    return expressions.add(a, b);
  if (isa<arith::SubIOp>(op))
    return expressions.sub(a, b);
  if (isa<arith::MulIOp>(op))
    return expressions.mul(a, b);
  if (isa<arith::MinSIOp>(op) || (isa<arith::MinUIOp>(op) && isUnsignedSafe))
    return expressions.min(a, b);
  if (isa<arith::MaxSIOp>(op) || (isa<arith::MaxUIOp>(op) && isUnsignedSafe))
    return expressions.max(a, b);
  if (!isUnsignedSafe || !expressions.isPositive(b))
    return nullptr;
  if (isa<arith::DivSIOp, arith::DivUIOp, arith::FloorDivSIOp>(op))
    return expressions.quotient(a, b);
  if (isa<arith::RemSIOp, arith::RemUIOp>(op))
    return expressions.remainder(a, b);
  return nullptr;
}

Expr TensorElements::compare(Operation *op, ArrayRef<Expr> operands) {
  auto comparison = cast<arith::CmpIOp>(op);
  Expr a = operands[0], b = operands[1];
  Type type = comparison.getLhs().getType();
  auto opaque = [&]() {
    return expressions.apply("arith.cmpi", operands, op->getPropertiesAsAttribute());
  };
  using arith::CmpIPredicate;
  const CmpIPredicate predicate = comparison.getPredicate();
  if (type.isInteger(1)) {
    Expr differ = predicate == CmpIPredicate::ne && b == expressions.boolean(false) ? a : nullptr;
    return differ ? differ : opaque();
  }
  switch (predicate) {
  case CmpIPredicate::eq:
    return expressions.equal(a, b);
  case CmpIPredicate::ne:
    return expressions.negation(expressions.equal(a, b));
  case CmpIPredicate::ult:
  case CmpIPredicate::ule:
  case CmpIPredicate::ugt:
  case CmpIPredicate::uge:
    if (!expressions.isNonNegative(a) || !expressions.isNonNegative(b))
      return opaque();
    break;
  default:
    break;
  }
  switch (predicate) {
  case CmpIPredicate::slt:
  case CmpIPredicate::ult:
    return expressions.less(a, b);
  case CmpIPredicate::sge:
  case CmpIPredicate::uge:
    return expressions.negation(expressions.less(a, b));
  case CmpIPredicate::sgt:
  case CmpIPredicate::ugt:
    return expressions.less(b, a);
  default:
    return expressions.negation(expressions.less(b, a));
  }
}

/// Conversions that leave the number as it is; null for others.
Expr TensorElements::convert(Operation *op, Expr operand) {
  Type from = op->getOperand(0).getType();
  if (from.isInteger(1)) {
    Type to = op->getResult(0).getType();
    if (isa<arith::UIToFPOp>(op))
      return expressions.select(operand, expressions.number(FloatAttr::get(to, 1)),
                                expressions.number(FloatAttr::get(to, 0)));
    return isa<arith::ExtUIOp, arith::IndexCastUIOp>(op)
               ? expressions.select(operand, expressions.number(1), expressions.number(0))
               : nullptr;
  }
  if (isa<arith::ExtSIOp>(op) || (isa<arith::IndexCastOp>(op) && isWide(from)))
    return operand;
  if (isa<arith::IndexCastOp>(op) && op->getResult(0).getType().isIndex())
    return operand;
  if (isa<arith::ExtUIOp, arith::IndexCastUIOp>(op) && expressions.isNonNegative(operand))
    return operand;
  // What fits stays what it is.
  const auto width = op->getResult(0).getType();
  if (isa<arith::TruncIOp, arith::IndexCastOp, arith::IndexCastUIOp>(op) && width.isInteger(32) &&
      expressions.isNonNegative(operand) &&
      expressions.isNonNegative(
          expressions.sub(expressions.number(std::numeric_limits<int32_t>::max()), operand)))
    return operand;
  return nullptr;
}
