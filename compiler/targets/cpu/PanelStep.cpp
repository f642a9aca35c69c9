// Widens weights in registers, or multiplies pairs of bf16.

#include "compiler/targets/cpu/PanelStep.h"

#include "compiler/analysis/PackedWeights.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <array>

using namespace mlir;
using namespace moec;

static int64_t weightBits(Type weight) {
  const std::optional<QuantFormat> format = quantFormatOf(weight);
  return format ? traitsOf(*format).bits : int64_t(weight.getIntOrFloatBitWidth());
}

static bool hasCodes(Type weight, QuantCodes codes) {
  const std::optional<QuantFormat> format = quantFormatOf(weight);
  return format && traitsOf(*format).codes == codes;
}

/// Columns of K that a lane holds of weights of so many bits.
static int64_t columnsOf(int64_t bits) { return bits == 32 ? 1 : bits == 4 ? 8 : 2; }

PanelStep::PanelStep(CpuKernelBuilder &kernel, Type activation, Type weight)
    : depth(columnsOf(weightBits(weight))), lineBytes(kLanes * depth * weightBits(weight) / 8),
      activationBytes(depth * bytesOf(activation)), kernel(kernel), activation(activation),
      weight(weight), isFloat8(hasCodes(weight, QuantCodes::Floats8)),
      isFloat4(hasCodes(weight, QuantCodes::Floats4)) {}

double PanelStep::unit() const { return isFloat8 ? 256 : isFloat4 ? 0.5 : 1; }

bool PanelStep::multipliesPairs() const {
  return activation == kernel.bf16() && (weight == kernel.bf16() || isFloat8 || isFloat4) &&
         kernel.target.hasBf16Dot();
}

bool PanelStep::exchangesColumns() const { return isFloat4 && multipliesPairs(); }

/// A vector's weights: each lane has one of 32 bits, or all of a step.
Value PanelStep::loadWeights(Value from) const {
  if (depth == 1)
    return kernel.load(kernel.lanes(weight), from);
  return kernel.load(kernel.lanes(isFloat8 ? kernel.i16() : kernel.i32()), from);
}

/// What kernels read the floats of 4 bits as: twice their values.
static std::array<float, 16> doubledFloats4() {
  std::array<float, 16> table;
  for (int64_t code = 0; code < 8; ++code) {
    table[code] = static_cast<float>(doubledFloat4(code));
    table[code + 8] = -table[code];
  }
  return table;
}

template <typename Part> static std::array<uint8_t, 16> bytesOfFloats4(Part part) {
  std::array<uint8_t, 16> bytes;
  for (auto [byte, value] : llvm::zip_equal(bytes, doubledFloats4()))
    byte = static_cast<uint8_t>(part(value));
  return bytes;
}

/// Four of a lane's codes of 4 bits, the first or the last, a byte each; as i16.
static Value quadOfCodes(CpuKernelBuilder &kernel, Value loaded, bool last) {
  const VectorType halves = kernel.lanes(kernel.i16(), 2 * kLanes);
  loaded = kernel.bitcast(halves, loaded);
  return kernel.bitAnd(last ? kernel.shiftRight(loaded, 4) : loaded,
                       kernel.integer(halves, 0x0f0f));
}

// The bits of column c of a word: byte c % 4, low half first.
Value PanelStep::widenFloat4(Value from, int64_t column) const {
  const int64_t byte = column % 4;
  const bool last = column >= 4;
  const VectorType words = kernel.lanes(kernel.i32());
  if (kernel.target.vectorBytes == 64) {
    // An address shifts by bytes; what is read beyond the words is not looked at, and at most three
    // bytes of the scales behind.
    Value loaded = kernel.load(words, kernel.address(from, byte), 1);
    return kernel.pick(doubledFloats4(), last ? kernel.shiftRight(loaded, 4) : loaded);
  }
  Value loaded = loadWeights(from);
  const auto table = bytesOfFloats4([](float value) { return static_cast<int8_t>(value); });
  Value bytes = kernel.bitcast(words, kernel.lookUp(table, quadOfCodes(kernel, loaded, last)));
  Value high = byte < 3 ? kernel.shiftLeft(bytes, 24 - 8 * byte) : bytes;
  Value number =
      arith::ShRSIOp::create(kernel.builder, kernel.loc, high, kernel.integer(words, 24));
  return arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.lanes(kernel.f32()), number);
}

// A float of 8 bits is one of 16 but for the width and the bias of its exponent: sign, a zero, and
// the rest.
Value PanelStep::spreadFloats8(Value loaded, int64_t column) const {
  Value high = column == 1 ? loaded : kernel.shiftLeft(loaded, 8);
  Value spread =
      arith::ShRSIOp::create(kernel.builder, kernel.loc, high, kernel.integer(high.getType(), 1));
  Value bits = kernel.bitAnd(spread, kernel.integer(high.getType(), int16_t(0xbf80)));
  return kernel.bitcast(cast<VectorType>(bits.getType()).clone(kernel.builder.getF16Type()), bits);
}

/// One of the values in each lane, as f32.
Value PanelStep::widenWeights(Value loaded, int64_t column) const {
  if (depth == 1)
    return loaded;
  const bool second = column == 1;
  if (weight == kernel.bf16())
    return kernel.widenHalf(loaded, second);
  if (isFloat8)
    return kernel.widen(spreadFloats8(loaded, column));
  Value low = arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.lanes(kernel.i16()),
                                      second ? kernel.shiftRight(loaded, 16) : loaded);
  return kernel.widen(kernel.bitcast(kernel.lanes(weight), low));
}

/// One of the values in each lane of some vectors, the first at `weights`, as f32.
SmallVector<Value> PanelStep::widenVectors(Value weights, size_t count, int64_t column) const {
  auto place = [&](size_t vector) {
    return kernel.address(weights, static_cast<int64_t>(vector) * lineBytes);
  };
  SmallVector<Value> vectors;
  // Integers of 16 bits are taken apart two vectors at a time where a register has room for them.
  if (isFloat8 && kernel.target.vectorBytes == 64) {
    auto low = llvm::to_vector(llvm::seq<int64_t>(0, kLanes)),
         high = llvm::to_vector(llvm::seq<int64_t>(kLanes, 2 * kLanes));
    while (vectors.size() + 1 < count) {
      Value loaded = kernel.load(kernel.lanes(kernel.i16(), 2 * kLanes), place(vectors.size()), 2);
      Value both = spreadFloats8(loaded, column);
      vectors.push_back(kernel.widen(kernel.shuffle(both, both, low)));
      vectors.push_back(kernel.widen(kernel.shuffle(both, both, high)));
    }
  }
  while (vectors.size() < count) {
    Value from = place(vectors.size());
    vectors.push_back(isFloat4 ? widenFloat4(from, column)
                               : widenWeights(loadWeights(from), column));
  }
  return vectors;
}

/// Of each lane's codes of 4 bits those in the same place of both of its halves, as bf16: pair p is
/// of columns 0 and 2, 1 and 3, 4 and 6, or 5 and 7.
Value PanelStep::pairOfFloats4(Value loaded, int64_t pair) const {
  const bool last = pair >= 2, odd = pair % 2 == 1;
  if (kernel.target.vectorBytes == 64) {
    Value halves = kernel.bitcast(kernel.lanes(kernel.i16(), 2 * kLanes), loaded);
    const int64_t bit = 8 * (pair % 2) + (last ? 4 : 0);
    return kernel.pickHalves(doubledFloats4(), bit ? kernel.shiftRight(halves, bit) : halves);
  }
  Value codes = quadOfCodes(kernel, loaded, last);
  auto bytesAt = [&](int64_t bit) {
    const auto table =
        bytesOfFloats4([&](float value) { return llvm::bit_cast<uint32_t>(value) >> bit & 0xff; });
    return kernel.bitcast(codes.getType(), kernel.lookUp(table, codes));
  };
  Value high = bytesAt(24), low = bytesAt(16);
  high = odd ? kernel.bitAnd(high, kernel.integer(high.getType(), int16_t(0xff00)))
             : kernel.shiftLeft(high, 8);
  low = odd ? kernel.shiftRight(low, 8) : kernel.bitAnd(low, kernel.integer(low.getType(), 0xff));
  return kernel.bitOr(high, low);
}

/// Two values of each lane as bf16; what is widened to f32 here fits bf16.
Value PanelStep::pairOfWeights(Value loaded, int64_t pair) const {
  const VectorType words = kernel.lanes(kernel.i32());
  if (isFloat4) {
    loaded = pairOfFloats4(loaded, pair);
  } else if (weight != kernel.bf16()) {
    Value first = kernel.bitcast(words, widenWeights(loaded, 0)),
          second = kernel.bitcast(words, widenWeights(loaded, 1));
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
Value PanelStep::activationLanes(Value from, int64_t column, bool single) const {
  if (activation == kernel.f32())
    return kernel.broadcast(kernel.load(kernel.f32(), kernel.address(from, 4 * column)));
  return kernel.widenHalf(activationPair(kernel.address(from, column / 2 * 4), single),
                          column % 2 == 1);
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
  if (multipliesPairs()) {
    for (int64_t pair = 0; pair < depth / 2; ++pair) {
      for (size_t v = 0; v < taken; ++v)
        operands[v] = pairOfWeights(load(v), pair);
      const Type type = operands.front().getType();
      multiply(
          [&](Value from) {
            return kernel.bitcast(type, activationPair(kernel.address(from, 4 * pair), single));
          },
          operands, [&](Value sum, Value a, Value b) { return kernel.bf16Dot(sum, a, b); });
    }
    return sums;
  }
  // All rows by the first column, then all by the next: the weights of all, widened, would take
  // more registers than there are.
  for (int64_t column = 0; column < (single ? 1 : depth); ++column) {
    operands = widenVectors(weights, taken, column);
    multiply([&](Value from) { return activationLanes(from, column, single); }, operands,
             [&](Value sum, Value a, Value b) { return kernel.fma(a, b, sum); });
  }
  return sums;
}
