// exp, log, sigmoid, erf, rsqrt, sine and cosine as polynomials.

#include "compiler/targets/ElementaryFunctions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace moec;

/// coefficients[0] + coefficients[1] x + ..., by Horner's rule.
static Value polynomial(KernelBuilder &kernel, Value x, ArrayRef<double> coefficients) {
  Value sum = kernel.number(x.getType(), coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = kernel.fma(sum, x, kernel.number(x.getType(), coefficient));
  return sum;
}

static Value roundToInteger(KernelBuilder &kernel, Value x) {
  return LLVM::RintOp::create(kernel.builder, kernel.loc, x.getType(), x);
}

static Value negate(KernelBuilder &kernel, Value x) {
  return arith::NegFOp::create(kernel.builder, kernel.loc, x);
}

/// 2^n of i32 values in [-126, 127], made from the exponent's bits.
static Value powerOfTwo(KernelBuilder &kernel, Value n) {
  Type integers = n.getType();
  Value biased = kernel.add(n, kernel.integer(integers, 127));
  Value bits =
      arith::ShLIOp::create(kernel.builder, kernel.loc, biased, kernel.integer(integers, 23));
  return kernel.bitcast(withElement(integers, kernel.f32()), bits);
}

Value moec::emitExp(KernelBuilder &kernel, Value x) {
  Type floats = x.getType(), integers = withElement(floats, kernel.i32());
  // Past these bounds the result is 0 or infinite anyway. The bound comes first: max and min return
  // their second operand where one is no number, so NaN goes on.
  x = kernel.max(kernel.number(floats, -105), x);
  x = kernel.min(kernel.number(floats, 90), x);
  // x = n ln 2 + r. The first part of ln 2 has 9 bits, so that n times it is exact.
  Value n = roundToInteger(kernel, kernel.mul(x, kernel.number(floats, 1 / M_LN2)));
  const double high = 355.0 / 512, low = M_LN2 - high;
  Value r = kernel.fma(n, kernel.number(floats, -high), x);
  r = kernel.fma(n, kernel.number(floats, -low), r);
  // Taylor's series: |r| <= 0.3466, so the first term left out is below 6e-9.
  Value e = polynomial(kernel, r,
                       {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040});
  // Two factors, so that neither overflows where the result is a denormal or nearly infinite.
  Value whole = arith::FPToSIOp::create(kernel.builder, kernel.loc, integers, n);
  Value half =
      arith::ShRSIOp::create(kernel.builder, kernel.loc, whole, kernel.integer(integers, 1));
  e = kernel.mul(e, powerOfTwo(kernel, half));
  return kernel.mul(e, powerOfTwo(kernel, kernel.sub(whole, half)));
}

Value moec::emitExp2OfMinus(KernelBuilder &kernel, Value x) {
  Type floats = x.getType(), integers = withElement(floats, kernel.i32());
  x = kernel.max(kernel.number(floats, -126), x); // so that NaN goes on
  Value n = roundToInteger(kernel, x);
  // 2^r of |r| <= 1/2, fitted to 1e-7, lies in [0.7, 1.5]: n is added to its exponent.
  Value e = polynomial(kernel, kernel.sub(x, n),
                       {1.0, 0.693146978, 0.240222421, 0.0555073374, 0.00967151269, 0.00132647272});
  Value whole = arith::FPToSIOp::create(kernel.builder, kernel.loc, integers, n);
  Value exponent =
      arith::ShLIOp::create(kernel.builder, kernel.loc, whole, kernel.integer(integers, 23));
  return kernel.bitcast(floats, kernel.add(kernel.bitcast(integers, e), exponent));
}

Value moec::emitLog(KernelBuilder &kernel, Value x) {
  Type floats = x.getType(), integers = withElement(floats, kernel.i32());
  // x = 2^n m, with m within a factor of sqrt 2 of 1: the bits of sqrt 1/2 are where n changes.
  Value shifted =
      kernel.sub(kernel.bitcast(integers, x), kernel.integer(integers, 0x3f3504f3)); // sqrt 1/2
  Value n =
      arith::ShRSIOp::create(kernel.builder, kernel.loc, shifted, kernel.integer(integers, 23));
  Value rest = kernel.bitAnd(shifted, kernel.integer(integers, 0x7fffff));
  Value m = kernel.bitcast(floats, kernel.add(rest, kernel.integer(integers, 0x3f3504f3)));
  // ln m = 2 artanh s, whose series has left out less than 1e-10.
  Value one = kernel.number(floats, 1);
  Value s = kernel.div(kernel.sub(m, one), kernel.add(m, one));
  Value series =
      polynomial(kernel, kernel.mul(s, s), {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11});
  Value whole = arith::SIToFPOp::create(kernel.builder, kernel.loc, floats, n);
  return kernel.fma(whole, kernel.number(floats, M_LN2), kernel.mul(s, series));
}

static Value onePlusExpOfMinus(KernelBuilder &kernel, Value x) {
  return kernel.add(kernel.number(x.getType(), 1), emitExp(kernel, negate(kernel, x)));
}

Value moec::emitSigmoid(KernelBuilder &kernel, Value x) {
  return kernel.div(kernel.number(x.getType(), 1), onePlusExpOfMinus(kernel, x));
}

Value moec::emitSilu(KernelBuilder &kernel, Value x) {
  return kernel.div(x, onePlusExpOfMinus(kernel, x));
}

static Value copySign(KernelBuilder &kernel, Value magnitude, Value sign) {
  return LLVM::CopySignOp::create(kernel.builder, kernel.loc, magnitude.getType(), magnitude, sign);
}

Value moec::emitErf(KernelBuilder &kernel, Value x) {
  Type floats = x.getType();
  Value magnitude = LLVM::FAbsOp::create(kernel.builder, kernel.loc, floats, x);
  // Near 0: erf(x) / x as a polynomial of x^2, fitted on [0, 1] to 4e-8.
  Value near = kernel.mul(x, polynomial(kernel, kernel.mul(x, x),
                                        {1.12837913, -0.376123557, 0.112804116, -0.0267177069,
                                         0.00492478896, -0.000566015301}));
  // Farther out: -log(1 - erf) as a polynomial, fitted on [1, 4] so that erf is good to 2e-8.
  Value bounded = kernel.min(kernel.number(floats, 4), magnitude);
  Value logarithm = polynomial(
      kernel, bounded,
      {0.00267169054, 1.11743853, 0.654488885, 0.0886342176, -0.0147781349, 0.00115042413});
  Value rest = emitExp(kernel, negate(kernel, logarithm));
  Value far = copySign(kernel, kernel.sub(kernel.number(floats, 1), rest), x);
  Value isNear = arith::CmpFOp::create(kernel.builder, kernel.loc, arith::CmpFPredicate::OLT,
                                       magnitude, kernel.number(floats, 1));
  return kernel.select(isNear, near, far);
}

Value moec::emitGelu(KernelBuilder &kernel, Value x) {
  Value half = kernel.mul(x, kernel.number(x.getType(), 0.5));
  Value erf = emitErf(kernel, kernel.mul(x, kernel.number(x.getType(), M_SQRT1_2)));
  return kernel.fma(half, erf, half);
}

Value moec::emitGeluTanh(KernelBuilder &kernel, Value x) {
  // (1 + tanh y) / 2 is sigmoid(2 y).
  const double slope = M_SQRT2 * M_2_SQRTPI; // 2 sqrt(2 / pi)
  Value cubic = polynomial(kernel, kernel.mul(x, x), {slope, slope * 0.044715});
  return kernel.div(x, onePlusExpOfMinus(kernel, kernel.mul(x, cubic)));
}

Value moec::emitRsqrt(KernelBuilder &kernel, Value x) {
  Value root = LLVM::SqrtOp::create(kernel.builder, kernel.loc, x.getType(), x);
  return kernel.div(kernel.number(x.getType(), 1), root);
}

SinCos moec::emitSinCos(KernelBuilder &kernel, Value angle) {
  OpBuilder &builder = kernel.builder;
  const Location loc = kernel.loc;
  Type floats = angle.getType(), doubles = withElement(floats, builder.getF64Type());
  Type integers = withElement(floats, kernel.i32());
  Value x = arith::ExtFOp::create(builder, loc, doubles, angle);
  // x = n pi/2 + r. n has at most 23 bits, so the error of pi/2 as an f64 (6e-17) grows to 4e-10.
  Value n = roundToInteger(kernel, kernel.mul(x, kernel.number(doubles, M_2_PI)));
  Value r = kernel.fma(n, kernel.number(doubles, -M_PI_2), x);
  Value square = kernel.mul(r, r);
  // Taylor's series: |r| <= 0.7854, so the first terms left out are below 7e-12.
  Value sine = kernel.mul(
      r, polynomial(kernel, square,
                    {1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800}));
  Value cosine = polynomial(
      kernel, square,
      {1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600});
  // Each quarter turn takes (sine, cosine) to (cosine, -sine).
  Value quarter = arith::FPToSIOp::create(builder, loc, integers, n);
  auto hasBit = [&](Value value, int64_t bit) -> Value {
    Value masked = arith::AndIOp::create(builder, loc, value, kernel.integer(integers, bit));
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, masked,
                                 kernel.integer(integers, 0));
  };
  auto narrow = [&](Value value, Value isNegative) -> Value {
    Value rounded = arith::TruncFOp::create(builder, loc, floats, value);
    return kernel.select(isNegative, negate(kernel, rounded), rounded);
  };
  Value swap = hasBit(quarter, 1), next = kernel.add(quarter, kernel.integer(integers, 1));
  return {narrow(kernel.select(swap, cosine, sine), hasBit(quarter, 2)),
          narrow(kernel.select(swap, sine, cosine), hasBit(next, 2))};
}
