// Short spellings for the instructions that kernels with tensor cores are made of.

#ifndef MOEC_COMPILER_TARGETS_CUDA_MATRIXINSTRUCTIONS_H
#define MOEC_COMPILER_TARGETS_CUDA_MATRIXINSTRUCTIONS_H

#include "compiler/targets/cuda/ThreadBuilder.h"

namespace moec {

/// `shared` (!llvm.ptr<3>) and so many bytes more.
mlir::Value sharedAt(KernelBuilder &kernel, mlir::Value shared, mlir::Value bytes);
mlir::Value sharedAt(KernelBuilder &kernel, mlir::Value shared, int64_t bytes);

/// Four matrices of 8 x 8 elements of 16 bits in shared memory, `row` where this lane's row of them
/// begins: what each lane gets of them, i32 each. `transposed` swaps rows and columns of each.
llvm::SmallVector<mlir::Value> emitLoadMatrices(KernelBuilder &kernel, mlir::Value row,
                                                bool transposed);

/// Adds to the 16 x 8 `sums`, 4 f32 of each lane, the product of 16 x 16 (4 registers) and 16 x 8
/// (2 registers) elements of bf16.
void emitMultiplyMatrices(KernelBuilder &kernel, llvm::ArrayRef<mlir::Value> left,
                          llvm::ArrayRef<mlir::Value> right,
                          llvm::MutableArrayRef<mlir::Value> sums);

/// Copies 16 bytes from global memory to shared, asynchronously; of these `bytes` (i32) are read,
/// the others become zero.
void emitAsyncCopy(KernelBuilder &kernel, mlir::Value to, mlir::Value from, mlir::Value bytes);

/// Two f32 rounded to bf16, the first in the low half of an i32.
mlir::Value emitRoundPair(KernelBuilder &kernel, mlir::Value low, mlir::Value high);

/// 2^x of f32 by the instruction, relative error below 2^-22; exactly 1 at 0, 0 of minus infinity
/// and where the result is a denormal.
mlir::Value emitFastExp2(KernelBuilder &kernel, mlir::Value x);

/// `value` (i64), which what comes to be made of it is not made of ahead: in a branch that is
/// rarely taken, so that the loop around keeps no registers for it.
mlir::Value emitHere(KernelBuilder &kernel, mlir::Value value);

/// `value` (f32) of the lane whose number differs by `distance` in one bit.
mlir::Value emitExchange(KernelBuilder &kernel, mlir::Value value, int64_t distance);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_MATRIXINSTRUCTIONS_H
