// Memory that a test gives to a kernel, as an operand of an op.

#ifndef MOEC_TEST_COMPILER_LOWERING_MEMREFOF_H
#define MOEC_TEST_COMPILER_LOWERING_MEMREFOF_H

#include "compiler/targets/KernelBuilder.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/IR/BuiltinOps.h"

namespace moec {

/// What lies at `pointer` (!llvm.ptr), row by row, as a memref of `element`.
inline mlir::Value memrefOf(KernelBuilder &kernel, mlir::Value pointer, mlir::Type element,
                            llvm::ArrayRef<int64_t> shape) {
  const auto type = mlir::MemRefType::get(shape, element);
  const mlir::LLVMTypeConverter converter(kernel.builder.getContext());
  mlir::Value descriptor =
      mlir::MemRefDescriptor::fromStaticShape(kernel.builder, kernel.loc, converter, type, pointer);
  return mlir::UnrealizedConversionCastOp::create(kernel.builder, kernel.loc, type, descriptor)
      .getResult(0);
}

} // namespace moec

#endif // MOEC_TEST_COMPILER_LOWERING_MEMREFOF_H
