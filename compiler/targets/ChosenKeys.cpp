// Reads a list of positions, within its bounds.

#include "compiler/targets/ChosenKeys.h"

using namespace mlir;
using namespace moec;

static Value loadBetween(KernelBuilder &kernel, Value from, Value least, Value most) {
  Value number = arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(),
                                        kernel.load(kernel.i32(), from));
  return kernel.max(least, kernel.min(number, most));
}

Value ChosenKeys::count(KernelBuilder &kernel) const {
  return loadBetween(kernel, list, kernel.integer(1), kernel.integer(most));
}

Value ChosenKeys::position(KernelBuilder &kernel, Value index) const {
  Value from = kernel.address(list, kernel.i32(), kernel.add(index, kernel.integer(1)));
  return loadBetween(kernel, from, kernel.integer(0), last);
}
