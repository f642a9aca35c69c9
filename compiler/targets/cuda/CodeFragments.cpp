// A few shifts and masks for each register, and multiplications that put exponents right.

#include "compiler/targets/cuda/CodeFragments.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moec;

/// `word` with all bits shifted up; down where `bits` is negative.
static Value shifted(KernelBuilder &kernel, Value word, int64_t bits) {
  if (bits == 0)
    return word;
  return bits > 0 ? kernel.shiftLeft(word, bits) : kernel.shiftRight(word, -bits);
}

static Value masked(KernelBuilder &kernel, Value word, uint32_t mask) {
  return kernel.bitAnd(word, kernel.integer(kernel.i32(), static_cast<int32_t>(mask)));
}

/// The same mask for each half.
static Value halves(KernelBuilder &kernel, Value word, int64_t shift, uint32_t mask) {
  return masked(kernel, shifted(kernel, word, shift), mask << 16 | mask);
}

/// The products of pairs.
static Value multiplyPairs(KernelBuilder &kernel, Value a, Value b) {
  auto pair = VectorType::get(2, kernel.bf16());
  return kernel.bitcast(kernel.i32(), kernel.mul(kernel.bitcast(pair, a), kernel.bitcast(pair, b)));
}

/// A pair of 2^`exponent`.
static Value powerPair(KernelBuilder &kernel, int64_t exponent) {
  const auto bits = static_cast<uint32_t>(exponent + 127) << 7;
  return kernel.integer(kernel.i32(), static_cast<int32_t>(bits << 16 | bits));
}

// Of a code sign, exponent and mantissa go where bf16 has them. That counts exponents from another
// bias, by which the numbers are too small, denormals as others; so a product puts all right.

static constexpr uint32_t kSign = 0x8000;
/// Biases of exponents.
static constexpr int64_t kBias = 127, kBias8 = 7, kBias4 = 1;

std::array<Value, 2> moec::emitFloat8Pairs(KernelBuilder &kernel, Value word) {
  constexpr uint32_t kRest = 0x07f0; // four bits of exponent, three of mantissa
  Value factor = powerPair(kernel, kBias - kBias8);
  auto pairOf = [&](int64_t shift) {
    Value bits =
        kernel.bitOr(halves(kernel, word, shift - 4, kRest), halves(kernel, word, shift, kSign));
    return multiplyPairs(kernel, bits, factor);
  };
  return {pairOf(8), pairOf(0)};
}

Value moec::emitFloat4Scale(KernelBuilder &kernel, Value exponents, int64_t number) {
  Value low = masked(kernel, shifted(kernel, exponents, 7 - 8 * number), 0xff << 7);
  return kernel.bitOr(low, kernel.shiftLeft(low, 16));
}

Value moec::emitFloat4Pair(KernelBuilder &kernel, Value word, int64_t number, Value scale) {
  constexpr uint32_t kRest = 0x01c0; // two bits of exponent, one of mantissa
  const int64_t shift = 12 - 4 * number;
  Value bits =
      kernel.bitOr(halves(kernel, word, shift - 6, kRest), halves(kernel, word, shift, kSign));
  // Apart, since together the powers may be more than bf16 has.
  return multiplyPairs(kernel, multiplyPairs(kernel, bits, powerPair(kernel, kBias - kBias4)),
                       scale);
}

/// The same mask for each byte.
static Value bytes(KernelBuilder &kernel, Value word, int64_t shift, uint32_t mask) {
  return masked(kernel, shifted(kernel, word, shift), mask * 0x01010101);
}

std::array<Value, 2> moec::emitIntegers(KernelBuilder &kernel, QuantFormat format, Value word,
                                        ArrayRef<Value> above, Value t) {
  // A code's bits become the highest of a byte.
  const int64_t bits = traitsOf(format).bits, top = 8 - bits, more = quantBitsAbove(format);
  const uint32_t mask = 15u << top;
  std::array<Value, 2> parts = {bytes(kernel, word, top, mask), bytes(kernel, word, top - 4, mask)};
  for (int64_t part = 0; more > 0 && part < 2; ++part) {
    // Bits more * t, and four further on for the second part of int5, go up to the byte's end.
    const int64_t end = more == 1 ? 7 - 4 * part : 6;
    Value shift =
        kernel.sub(kernel.integer(kernel.i32(), end), more == 1 ? t : kernel.shiftLeft(t, 1));
    Value high = arith::ShLIOp::create(kernel.builder, kernel.loc,
                                       above[more == 1 ? 0 : static_cast<size_t>(part)], shift);
    Value &value = parts[static_cast<size_t>(part)];
    value = kernel.bitOr(value, bytes(kernel, high, 0, more == 1 ? 0x80 : 0xc0));
  }
  return parts;
}

static Value permute(KernelBuilder &kernel, Value low, Value high, Value selector) {
  return NVVM::PermuteOp::create(kernel.builder, kernel.loc, kernel.i32(), low, high, selector,
                                 NVVM::PermuteMode::DEFAULT);
}

std::array<Value, 2> moec::emitFloat4Integers(KernelBuilder &kernel, std::array<Value, 2> words,
                                              Value t) {
  auto constant = [&](uint32_t bits) {
    return kernel.integer(kernel.i32(), static_cast<int32_t>(bits));
  };
  auto exclusive = [&](Value a, uint32_t bits) -> Value {
    return arith::XOrIOp::create(kernel.builder, kernel.loc, a, constant(bits));
  };
  // Of each half of a word codes t / 2 and 2 further on; they become selectors of a byte, of the
  // first four codes in the low half, of the others in the high one.
  Value shift = kernel.shiftLeft(kernel.shiftRight(t, 1), 2);
  for (Value &word : words) {
    word = bytes(kernel, arith::ShRUIOp::create(kernel.builder, kernel.loc, word, shift), 0, 15);
    word = kernel.bitOr(word, kernel.shiftRight(word, 12));
  }
  Value selectors = permute(kernel, words[0], words[1], constant(0x5140));
  // The magnitudes added to 12, and taken from it. A selector's highest bit asks for the sign of a
  // byte in place of it, and they have none: so one of both tables gives 0.
  Value others = exclusive(selectors, 0x88888888);
  auto bytesOf = [&](int64_t half) {
    Value added = permute(kernel, constant(0x0f0e0d0c), constant(0x18141210),
                          kernel.shiftRight(selectors, 16 * half)),
          taken = permute(kernel, constant(0x090a0b0c), constant(0x00040608),
                          kernel.shiftRight(others, 16 * half));
    // 12 less again, byte by byte.
    Value high = kernel.bitOr(kernel.bitOr(added, taken), constant(0x80808080));
    return exclusive(kernel.sub(high, constant(0x0c0c0c0c)), 0x80808080);
  };
  return {bytesOf(0), bytesOf(1)};
}
