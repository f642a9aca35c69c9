// Implements the arithmetic of small floats.

#include "compiler/lowering/SmallFloats.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace moec;

namespace {

/// How a float of 8 bits is made up.
struct SmallFloat {
  int mantissa;        ///< bits
  int bias;            ///< of the exponent
  bool isUnsignedZero; ///< one zero, and in place of the other the only NaN
  int largest;         ///< the code of the largest number
  int nan;             ///< of a NaN, without sign
  int infinity;        ///< or of what is too large, without sign

  static std::optional<SmallFloat> of(Type type) {
    if (isa<Float8E4M3FNType>(type))
      return SmallFloat{3, 7, false, 0x7e, 0x7f, 0x7f};
    if (isa<Float8E5M2Type>(type))
      return SmallFloat{2, 15, false, 0x7b, 0x7e, 0x7c};
    if (isa<Float8E4M3FNUZType>(type))
      return SmallFloat{3, 8, true, 0x7f, 0x80, 0x80};
    if (isa<Float8E5M2FNUZType>(type))
      return SmallFloat{2, 16, true, 0x7f, 0x80, 0x80};
    return std::nullopt;
  }
};

/// Short spellings.
struct Bits {
  OpBuilder &builder;
  Location loc;

  Value integer(int64_t value) { return arith::ConstantIntOp::create(builder, loc, value, 32); }
  Value number(float value) {
    return arith::ConstantFloatOp::create(builder, loc, builder.getF32Type(), APFloat(value));
  }
  template <typename Op> Value make(Value a, Value b) { return Op::create(builder, loc, a, b); }
  Value toBits(Value x) { return arith::BitcastOp::create(builder, loc, builder.getI32Type(), x); }
  Value toFloat(Value bits) {
    return arith::BitcastOp::create(builder, loc, builder.getF32Type(), bits);
  }
  Value select(arith::CmpIPredicate how, Value a, Value b, Value yes, Value no) {
    Value is = arith::CmpIOp::create(builder, loc, how, a, b);
    return arith::SelectOp::create(builder, loc, is, yes, no);
  }
};

constexpr int kBias = 127, kMantissa = 23; // of 32 bits

struct ExpandExtension final : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::ExtFOp op, PatternRewriter &rewriter) const override {
    std::optional<SmallFloat> kind = SmallFloat::of(op.getIn().getType());
    if (!kind)
      return rewriter.notifyMatchFailure(op, "is not of 8 bits");
    Bits bits{rewriter, op.getLoc()};
    using enum arith::CmpIPredicate;
    Value code = arith::ExtUIOp::create(
        rewriter, op.getLoc(), rewriter.getI32Type(),
        arith::BitcastOp::create(rewriter, op.getLoc(), rewriter.getI8Type(), op.getIn()));
    Value magnitude = bits.make<arith::AndIOp>(code, bits.integer(0x7f));
    // With the exponent's bits in place, a power of two makes up for the other bias; also where
    // there are leading zeros, of which both kinds make the same.
    Value placed = bits.make<arith::ShLIOp>(magnitude, bits.integer(kMantissa - kind->mantissa));
    Value scaled = bits.make<arith::MulFOp>(bits.toFloat(placed),
                                            bits.number(std::ldexp(1.0f, kBias - kind->bias)));
    Value sign = bits.make<arith::ShLIOp>(bits.make<arith::AndIOp>(code, bits.integer(0x80)),
                                          bits.integer(24));
    Value result = bits.make<arith::OrIOp>(bits.toBits(scaled), sign);
    const Value nan = bits.integer(0x7fc00000);
    if (kind->isUnsignedZero)
      result = bits.select(eq, code, bits.integer(kind->nan), nan, result);
    else
      result = bits.select(
          ugt, magnitude,
          bits.integer(kind->infinity == kind->nan ? kind->largest : kind->infinity), nan, result);
    if (kind->infinity != kind->nan)
      result = bits.select(eq, magnitude, bits.integer(kind->infinity),
                           bits.make<arith::OrIOp>(bits.integer(0x7f800000), sign), result);
    Value wide = bits.toFloat(result);
    Type type = op.getType();
    if (type.getIntOrFloatBitWidth() > 32)
      wide = arith::ExtFOp::create(rewriter, op.getLoc(), type, wide);
    else if (type.getIntOrFloatBitWidth() < 32)
      wide = arith::TruncFOp::create(rewriter, op.getLoc(), type, wide);
    rewriter.replaceOp(op, wide);
    return success();
  }
};

struct ExpandTruncation final : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    std::optional<SmallFloat> kind = SmallFloat::of(op.getType());
    if (!kind)
      return rewriter.notifyMatchFailure(op, "is not to 8 bits");
    Bits bits{rewriter, op.getLoc()};
    using enum arith::CmpIPredicate;
    Value x = op.getIn();
    const unsigned width = x.getType().getIntOrFloatBitWidth();
    if (width > 32)
      x = arith::TruncFOp::create(rewriter, op.getLoc(), rewriter.getF32Type(), x);
    else if (width < 32)
      x = arith::ExtFOp::create(rewriter, op.getLoc(), rewriter.getF32Type(), x);
    Value all = bits.toBits(x);
    Value magnitude = bits.make<arith::AndIOp>(all, bits.integer(0x7fffffff));
    const int dropped = kMantissa - kind->mantissa;
    // Half of what is dropped, less one where the last bit that stays is even.
    Value odd = bits.make<arith::AndIOp>(
        bits.make<arith::ShRUIOp>(magnitude, bits.integer(dropped)), bits.integer(1));
    Value rounded = bits.make<arith::AddIOp>(
        bits.make<arith::AddIOp>(magnitude, bits.integer((1 << (dropped - 1)) - 1)), odd);
    Value normal =
        bits.make<arith::SubIOp>(bits.make<arith::ShRUIOp>(rounded, bits.integer(dropped)),
                                 bits.integer((kBias - kind->bias) << kind->mantissa));
    // Below the normal numbers, adding a number whose last bit is worth as much as theirs rounds.
    const float step = std::ldexp(1.0f, kMantissa + 1 - kind->bias - kind->mantissa);
    Value small = bits.make<arith::SubIOp>(
        bits.toBits(bits.make<arith::AddFOp>(bits.toFloat(magnitude), bits.number(step))),
        bits.toBits(bits.number(step)));
    Value code = bits.select(ult, magnitude, bits.integer((kBias + 1 - kind->bias) << kMantissa),
                             small, normal);
    code = bits.select(sgt, code, bits.integer(kind->largest), bits.integer(kind->infinity), code);
    code = bits.select(ugt, magnitude, bits.integer(0x7f800000), bits.integer(kind->nan), code);
    Value sign = bits.make<arith::AndIOp>(bits.make<arith::ShRUIOp>(all, bits.integer(24)),
                                          bits.integer(0x80));
    if (kind->isUnsignedZero) // nor has the NaN a sign
      sign = bits.select(eq, code, bits.integer(0), bits.integer(0), sign);
    code = bits.make<arith::OrIOp>(code, sign);
    Value byte = arith::TruncIOp::create(rewriter, op.getLoc(), rewriter.getI8Type(), code);
    rewriter.replaceOpWithNewOp<arith::BitcastOp>(op, op.getType(), byte);
    return success();
  }
};

} // namespace

void moec::populateSmallFloatPatterns(RewritePatternSet &patterns) {
  patterns.add<ExpandExtension, ExpandTruncation>(patterns.getContext());
}
