// Bits of a float as an integer with a sign, those of negative ones turned round.

#include "compiler/targets/SortKey.h"

using namespace mlir;
using namespace moec;

Value moec::emitSortKey(KernelBuilder &kernel, Value number) {
  OpBuilder &builder = kernel.builder;
  number = kernel.add(number, kernel.number(number.getType(), 0)); // -0 becomes +0
  Type words = withElement(number.getType(), kernel.i32());
  Value bits = kernel.bitcast(words, number);
  Value sign = arith::ShRSIOp::create(builder, kernel.loc, bits, kernel.integer(words, 31));
  Value flip = kernel.bitAnd(sign, kernel.integer(words, 0x7fffffff));
  Value key = arith::XOrIOp::create(builder, kernel.loc, bits, flip);
  Value isNan =
      arith::CmpFOp::create(builder, kernel.loc, arith::CmpFPredicate::UNO, number, number);
  return kernel.select(isNan, kernel.integer(words, 0x7ffffffe), key);
}
