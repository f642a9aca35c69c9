// Arithmetic on single elements.

#include "frontends/onnx/import/ElementBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace moec;

Value ElementBuilder::number(Type type, double value) {
  if (auto floats = dyn_cast<FloatType>(type))
    return arith::ConstantOp::create(builder, location, builder.getFloatAttr(floats, value));
  return integer(type, static_cast<int64_t>(value));
}

Value ElementBuilder::integer(Type type, int64_t value) {
  if (isa<IndexType>(type))
    return index(value);
  const auto width = cast<IntegerType>(type).getWidth();
  return arith::ConstantOp::create(
      builder, location,
      builder.getIntegerAttr(type, APInt(width, static_cast<uint64_t>(value), /*isSigned=*/true,
                                         /*implicitTrunc=*/true)));
}

Value ElementBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(builder, location, value);
}

Value ElementBuilder::add(Value a, Value b) {
  return isFloat(a) ? make<arith::AddFOp>(a, b) : make<arith::AddIOp>(a, b);
}
Value ElementBuilder::sub(Value a, Value b) {
  return isFloat(a) ? make<arith::SubFOp>(a, b) : make<arith::SubIOp>(a, b);
}
Value ElementBuilder::mul(Value a, Value b) {
  return isFloat(a) ? make<arith::MulFOp>(a, b) : make<arith::MulIOp>(a, b);
}

Value ElementBuilder::div(Value a, Value b) {
  if (isFloat(a))
    return make<arith::DivFOp>(a, b);
  // The machine traps where b is 0, and where the quotient of the least number by -1 is too large.
  Value zero = integer(a.getType(), 0), one = integer(a.getType(), 1);
  Value isZero = make<arith::CmpIOp>(arith::CmpIPredicate::eq, b, zero);
  if (isUnsigned)
    return select(isZero, zero, make<arith::DivUIOp>(a, select(isZero, one, b)));
  Value isMinus = make<arith::CmpIOp>(arith::CmpIPredicate::eq, b, integer(a.getType(), -1));
  Value safe = select(either(isZero, isMinus), one, b);
  Value quotient = make<arith::DivSIOp>(a, safe);
  return select(isZero, zero, select(isMinus, neg(a), quotient));
}

Value ElementBuilder::max(Value a, Value b) {
  if (isFloat(a))
    return make<arith::MaximumFOp>(a, b);
  return isUnsigned ? make<arith::MaxUIOp>(a, b) : make<arith::MaxSIOp>(a, b);
}
Value ElementBuilder::min(Value a, Value b) {
  if (isFloat(a))
    return make<arith::MinimumFOp>(a, b);
  return isUnsigned ? make<arith::MinUIOp>(a, b) : make<arith::MinSIOp>(a, b);
}

Value ElementBuilder::neg(Value a) {
  if (isFloat(a))
    return make<arith::NegFOp>(a);
  return make<arith::SubIOp>(integer(a.getType(), 0), a);
}

Value ElementBuilder::abs(Value a) {
  if (isFloat(a))
    return make<math::AbsFOp>(a);
  return isUnsigned ? a : make<math::AbsIOp>(a);
}

Value ElementBuilder::reciprocal(Value a) { return div(number(a, 1.0), a); }
Value ElementBuilder::sigmoid(Value a) { return reciprocal(add(number(a, 1.0), exp(neg(a)))); }
Value ElementBuilder::exp(Value a) { return make<math::ExpOp>(a); }
Value ElementBuilder::log(Value a) { return make<math::LogOp>(a); }
Value ElementBuilder::sqrt(Value a) { return make<math::SqrtOp>(a); }
Value ElementBuilder::tanh(Value a) { return make<math::TanhOp>(a); }
Value ElementBuilder::erf(Value a) { return make<math::ErfOp>(a); }
Value ElementBuilder::floor(Value a) { return make<math::FloorOp>(a); }

Value ElementBuilder::equal(Value a, Value b) {
  if (isFloat(a))
    return make<arith::CmpFOp>(arith::CmpFPredicate::OEQ, a, b);
  return make<arith::CmpIOp>(arith::CmpIPredicate::eq, a, b);
}
Value ElementBuilder::less(Value a, Value b) {
  if (isFloat(a))
    return make<arith::CmpFOp>(arith::CmpFPredicate::OLT, a, b);
  return make<arith::CmpIOp>(isUnsigned ? arith::CmpIPredicate::ult : arith::CmpIPredicate::slt, a,
                             b);
}
Value ElementBuilder::lessOrEqual(Value a, Value b) {
  if (isFloat(a))
    return make<arith::CmpFOp>(arith::CmpFPredicate::OLE, a, b);
  return make<arith::CmpIOp>(isUnsigned ? arith::CmpIPredicate::ule : arith::CmpIPredicate::sle, a,
                             b);
}

Value ElementBuilder::select(Value condition, Value yes, Value no) {
  return make<arith::SelectOp>(condition, yes, no);
}
Value ElementBuilder::both(Value a, Value b) { return make<arith::AndIOp>(a, b); }
Value ElementBuilder::either(Value a, Value b) { return make<arith::OrIOp>(a, b); }
Value ElementBuilder::negation(Value a) { return make<arith::XOrIOp>(a, integer(a.getType(), -1)); }

Value ElementBuilder::floatToInteger(Value a, IntegerType to, bool toUnsigned) {
  const auto type = cast<FloatType>(a.getType());
  const unsigned bits = to.getWidth();
  // The largest float that is no larger than the type's largest number.
  const double least = toUnsigned ? 0 : -std::ldexp(1, bits - 1);
  double most = std::ldexp(1, toUnsigned ? bits : bits - 1);
  const unsigned precision = APFloat::semanticsPrecision(type.getFloatSemantics());
  most -= std::max(1.0, std::ldexp(1, static_cast<int>(toUnsigned ? bits : bits - 1) -
                                          static_cast<int>(precision)));
  Value low = number(type, least), high = number(type, most);
  a = select(make<arith::CmpFOp>(arith::CmpFPredicate::OGE, a, low), a, low);
  a = select(make<arith::CmpFOp>(arith::CmpFPredicate::OLE, a, high), a, high);
  return toUnsigned ? make<arith::FPToUIOp>(to, a) : make<arith::FPToSIOp>(to, a);
}

Value ElementBuilder::convert(Value a, Type to, bool toUnsigned) {
  Type from = a.getType();
  if (from == to)
    return a;
  auto toFloat = dyn_cast<FloatType>(to), fromFloat = dyn_cast<FloatType>(from);
  if (fromFloat && toFloat) {
    if (toFloat.getWidth() > fromFloat.getWidth())
      return make<arith::ExtFOp>(to, a);
    if (toFloat.getWidth() < fromFloat.getWidth())
      return make<arith::TruncFOp>(to, a);
    // Between two narrow types of one width.
    return make<arith::TruncFOp>(to, make<arith::ExtFOp>(builder.getF32Type(), a));
  }
  if (to.isInteger(1))
    return fromFloat ? make<arith::CmpFOp>(arith::CmpFPredicate::UNE, a, number(a, 0))
                     : make<arith::CmpIOp>(arith::CmpIPredicate::ne, a, integer(from, 0));
  if (fromFloat)
    return floatToInteger(a, cast<IntegerType>(to), toUnsigned);
  const bool widensByZeros = isUnsigned || from.isInteger(1);
  if (toFloat)
    return widensByZeros ? make<arith::UIToFPOp>(to, a) : make<arith::SIToFPOp>(to, a);
  const unsigned wide = cast<IntegerType>(to).getWidth(),
                 narrow = cast<IntegerType>(from).getWidth();
  if (wide == narrow)
    return a;
  if (wide < narrow)
    return make<arith::TruncIOp>(to, a);
  return widensByZeros ? make<arith::ExtUIOp>(to, a) : make<arith::ExtSIOp>(to, a);
}

Value ElementBuilder::toIndex(Value a) {
  if (isUnsigned)
    return make<arith::IndexCastUIOp>(builder.getIndexType(), a);
  return make<arith::IndexCastOp>(builder.getIndexType(), a);
}
Value ElementBuilder::fromIndex(Value index, Type to) {
  if (auto floats = dyn_cast<FloatType>(to)) {
    Value number = make<arith::IndexCastOp>(builder.getI64Type(), index);
    return make<arith::SIToFPOp>(floats, number);
  }
  return make<arith::IndexCastOp>(to, index);
}
