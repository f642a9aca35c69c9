// Widens weights in registers, or multiplies pairs of bf16 as they are.

#include "compiler/targets/cpu/PanelStep.h"

#include "compiler/analysis/PackedWeights.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

/// Bytes of a weight; the only quantised ones whose values are floats are those of fp8.
static int64_t weightBytes(Type weight) { return quantFormatOf(weight) ? 1 : bytesOf(weight); }

PanelStep::PanelStep(KernelBuilder &kernel, Type activation, Type weight)
    : depth(weightBytes(weight) == 4 ? 1 : 2), lineBytes(kLanes * depth * weightBytes(weight)),
      activationBytes(depth * bytesOf(activation)), kernel(kernel), activation(activation),
      weight(weight) {}

/// A vector's weights: each lane has one of 32 bits, or the two of a step.
Value PanelStep::loadWeights(Value from) const {
  if (depth == 1)
    return kernel.load(kernel.lanes(weight), from);
  return kernel.load(kernel.lanes(weightBytes(weight) == 1 ? kernel.i16() : kernel.i32()), from);
}

/// One of the values in each lane, as f32.
Value PanelStep::widenWeights(Value loaded, bool second) const {
  if (depth == 1)
    return loaded;
  if (weight == kernel.bf16())
    return kernel.widenHalf(loaded, second);
  if (weightBytes(weight) == 1) {
    // A float of 8 bits is one of 16 but for the width and the bias of its exponent: sign, a zero,
    // and the rest.
    Value high = second ? loaded : kernel.shiftLeft(loaded, 8);
    Value spread =
        arith::ShRSIOp::create(kernel.builder, kernel.loc, high, kernel.integer(high.getType(), 1));
    Value bits = kernel.bitAnd(spread, kernel.integer(high.getType(), int16_t(0xbf80)));
    return kernel.widen(kernel.bitcast(kernel.lanes(kernel.builder.getF16Type()), bits));
  }
  Value low = arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.lanes(kernel.i16()),
                                      second ? kernel.shiftRight(loaded, 16) : loaded);
  return kernel.widen(kernel.bitcast(kernel.lanes(weight), low));
}

/// The two values of each lane as bf16; what is widened to f32 here fits bf16.
Value PanelStep::pairOfWeights(Value loaded) const {
  const VectorType words = kernel.lanes(kernel.i32());
  if (weight != kernel.bf16()) {
    Value first = kernel.bitcast(words, widenWeights(loaded, false)),
          second = kernel.bitcast(words, widenWeights(loaded, true));
    loaded = kernel.bitOr(kernel.shiftRight(first, 16),
                          kernel.bitAnd(second, kernel.integer(words, int32_t(0xffff0000))));
  }
  return kernel.bitcast(kernel.lanes(kernel.bf16(), 2 * kLanes), loaded);
}

/// Two bf16 activations in every lane of an i32 vector; with `single` the second is not to be read
/// and taken as zero.
Value PanelStep::activationPair(Value from, bool single) const {
  if (!single)
    return kernel.broadcast(kernel.load(kernel.i32(), from));
  Value last = kernel.load(kernel.i16(), from);
  return kernel.broadcast(arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i32(), last));
}

/// One of the activations of a step as f32, in every lane.
Value PanelStep::activationLanes(Value from, bool second, bool single) const {
  if (activation == kernel.f32())
    return kernel.broadcast(kernel.load(kernel.f32(), kernel.address(from, second ? 4 : 0)));
  return kernel.widenHalf(activationPair(from, single), second);
}

SmallVector<Value> PanelStep::emit(ArrayRef<Value> rows, Value weights, SmallVector<Value> sums,
                                   bool half) const {
  const size_t taken = sums.size() / rows.size();
  const bool single = depth == 1 || half;
  auto load = [&](size_t vector) {
    return loadWeights(kernel.address(weights, static_cast<int64_t>(vector) * lineBytes));
  };
  auto multiply = [&](function_ref<Value(Value from)> activations, ArrayRef<Value> operands,
                      function_ref<Value(Value sum, Value a, Value b)> accumulate) {
    for (auto [row, base] : llvm::enumerate(rows)) {
      Value values = activations(base);
      for (size_t v = 0; v < taken; ++v) {
        Value &sum = sums[row * taken + v];
        sum = accumulate(sum, values, operands[v]);
      }
    }
  };
  SmallVector<Value> operands(taken);
  const bool fitsBf16 = weight == kernel.bf16() || weightBytes(weight) == 1;
  if (activation == kernel.bf16() && fitsBf16 && kernel.target.hasBf16Dot()) {
    for (size_t v = 0; v < taken; ++v)
      operands[v] = pairOfWeights(load(v));
    const Type type = operands.front().getType();
    multiply([&](Value from) { return kernel.bitcast(type, activationPair(from, single)); },
             operands, [&](Value sum, Value a, Value b) { return kernel.bf16Dot(sum, a, b); });
    return sums;
  }
  // All rows by the first of each pair, then all by the second: the weights of both, widened, would
  // take more registers than there are.
  for (bool second : {false, true}) {
    if (second && single)
      break;
    for (size_t v = 0; v < taken; ++v)
      operands[v] = widenWeights(load(v), second);
    multiply([&](Value from) { return activationLanes(from, second, single); }, operands,
             [&](Value sum, Value a, Value b) { return kernel.fma(a, b, sum); });
  }
  return sums;
}
