// What a lane makes of words of codes: the registers of the matrix instruction.

#ifndef MOEC_COMPILER_TARGETS_CUDA_CODEFRAGMENTS_H
#define MOEC_COMPILER_TARGETS_CUDA_CODEFRAGMENTS_H

#include "compiler/targets/KernelBuilder.h"
#include "runtime/core/Quantization.h"

#include <array>

namespace moec {

// All values are i32. Words of codes are as BandLayout.h has them; a pair is of two bf16 elements,
// the first in the low half.

/// The pairs that a word of four codes of fp8 stands for: of its bytes 0 and 2, of 1 and 3.
std::array<mlir::Value, 2> emitFloat8Pairs(KernelBuilder &kernel, mlir::Value word);

/// Twice the scale of mxfp4 that is byte `number` of `exponents`.
mlir::Value emitFloat4Scale(KernelBuilder &kernel, mlir::Value exponents, int64_t number);

/// What codes `number` of the halves of a word of mxfp4 stand for, with such a scale.
mlir::Value emitFloat4Pair(KernelBuilder &kernel, mlir::Value word, int64_t number,
                           mlir::Value scale);

/// Signed integers are as many times as large as the codes, less their middle, that they are of.
constexpr int64_t integerUnit(QuantFormat format) {
  return traitsOf(format).codes == QuantCodes::Integers ? int64_t(1) << (8 - traitsOf(format).bits)
                                                        : 1;
}

/// The signed bytes, four each, of codes of 4, 5 or 6 bits whose low bits are a word: those of its
/// low halves of bytes, then of the high ones. `above` are the words with their other bits, one of
/// int5, two of int6; `t` is the lane's number among four.
std::array<mlir::Value, 2> emitIntegers(KernelBuilder &kernel, QuantFormat format, mlir::Value word,
                                        llvm::ArrayRef<mlir::Value> above, mlir::Value t);

/// The signed bytes, twice what codes of mxfp4 stand for, of 4 and of 4 codes from 16 further on.
/// `words` are the two of a chunk that have them, of bytes 8 (t % 2) on.
std::array<mlir::Value, 2> emitFloat4Integers(KernelBuilder &kernel,
                                              std::array<mlir::Value, 2> words, mlir::Value t);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_CODEFRAGMENTS_H
