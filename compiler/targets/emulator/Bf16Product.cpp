// Products of bf16 on hosts that have none: exact in f32, then rounded to nearest even by integers.

#include "compiler/targets/emulator/EmulatedCode.h"

using namespace mlir;
using namespace moec;

/// `type`, or a vector of it where `like` is one.
static Type likeOf(Type like, Type type) {
  auto vector = dyn_cast<VectorType>(like);
  return vector ? Type(vector.clone(type)) : type;
}

static Value constantOf(OpBuilder &builder, Location loc, Type type, int64_t value) {
  auto element = builder.getIntegerAttr(getElementTypeOrSelf(type), value);
  Attribute all = element;
  if (auto vector = dyn_cast<VectorType>(type))
    all = DenseElementsAttr::get(vector, Attribute(element));
  return LLVM::ConstantOp::create(builder, loc, type, cast<TypedAttr>(all));
}

void moec::emulateBf16Product(LLVM::FMulOp product) {
  OpBuilder builder(product);
  const Location loc = product.getLoc();
  const Type type = product.getType(), i16 = likeOf(type, builder.getI16Type()),
             i32 = likeOf(type, builder.getI32Type()), f32 = likeOf(type, builder.getF32Type());
  auto constant = [&](int64_t value) { return constantOf(builder, loc, i32, value); };
  auto widen = [&](Value value) -> Value {
    Value bits =
        LLVM::ZExtOp::create(builder, loc, i32, LLVM::BitcastOp::create(builder, loc, i16, value));
    bits = LLVM::ShlOp::create(builder, loc, bits, constant(16));
    return LLVM::BitcastOp::create(builder, loc, f32, bits);
  };
  Value exact =
      LLVM::FMulOp::create(builder, loc, widen(product.getLhs()), widen(product.getRhs()));
  Value bits = LLVM::BitcastOp::create(builder, loc, i32, exact);
  auto upper = [&](Value value) -> Value {
    return LLVM::LShrOp::create(builder, loc, value, constant(16));
  };
  // Half of the last place, less a bit where the result is even, carries into the upper half.
  Value odd = LLVM::AndOp::create(builder, loc, upper(bits), constant(1));
  Value rounded = upper(LLVM::AddOp::create(
      builder, loc, bits, LLVM::AddOp::create(builder, loc, odd, constant(0x7fff))));
  Value quiet = LLVM::OrOp::create(builder, loc, upper(bits), constant(0x40));
  Value isNan = LLVM::FCmpOp::create(builder, loc, LLVM::FCmpPredicate::uno, exact, exact);
  Value result = LLVM::SelectOp::create(builder, loc, isNan, quiet, rounded);
  result =
      LLVM::BitcastOp::create(builder, loc, type, LLVM::TruncOp::create(builder, loc, i16, result));
  product.replaceAllUsesWith(result);
  product.erase();
}
