// Instructions by the ops of NVVM, and by inline PTX where there are none.

#include "compiler/targets/cuda/MatrixInstructions.h"
#include "compiler/targets/cuda/CudaTarget.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moec;

Value moec::sharedAt(KernelBuilder &kernel, Value shared, Value bytes) {
  return LLVM::GEPOp::create(kernel.builder, kernel.loc, shared.getType(), kernel.i8(), shared,
                             ArrayRef<LLVM::GEPArg>{bytes});
}

Value moec::sharedAt(KernelBuilder &kernel, Value shared, int64_t bytes) {
  return LLVM::GEPOp::create(kernel.builder, kernel.loc, shared.getType(), kernel.i8(), shared,
                             ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(bytes)});
}

SmallVector<Value> moec::emitLoadMatrices(KernelBuilder &kernel, Value row, bool transposed) {
  constexpr int64_t kNumber = 4;
  auto shape = NVVM::LdStMatrixShapeAttr::get(kernel.builder.getContext(), 8, 8);
  Type type = LLVM::LLVMStructType::getLiteral(kernel.builder.getContext(),
                                               SmallVector<Type>(kNumber, kernel.i32()));
  Value loaded = NVVM::LdMatrixOp::create(kernel.builder, kernel.loc, type, row,
                                          static_cast<uint32_t>(kNumber),
                                          transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
                                          shape, NVVM::LdStMatrixEltType::B16);
  SmallVector<Value> registers;
  for (int64_t i = 0; i < kNumber; ++i)
    registers.push_back(LLVM::ExtractValueOp::create(kernel.builder, kernel.loc, loaded, i));
  return registers;
}

void moec::emitMultiplyMatrices(KernelBuilder &kernel, ArrayRef<Value> left, ArrayRef<Value> right,
                                MutableArrayRef<Value> sums) {
  Type type = LLVM::LLVMStructType::getLiteral(kernel.builder.getContext(),
                                               SmallVector<Type>(sums.size(), kernel.f32()));
  Value result =
      NVVM::MmaOp::create(kernel.builder, kernel.loc, type, left, right, ArrayRef<Value>(sums),
                          ArrayRef<int64_t>{16, 8, 16}, std::nullopt, std::nullopt,
                          std::array{NVVM::MMATypes::bf16, NVVM::MMATypes::bf16},
                          std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = LLVM::ExtractValueOp::create(kernel.builder, kernel.loc, result, static_cast<int64_t>(i));
}

void moec::emitAsyncCopy(KernelBuilder &kernel, Value to, Value from, Value bytes) {
  auto global = LLVM::LLVMPointerType::get(kernel.builder.getContext(),
                                           static_cast<unsigned>(NVVM::NVVMMemorySpace::Global));
  from = LLVM::AddrSpaceCastOp::create(kernel.builder, kernel.loc, global, from);
  NVVM::CpAsyncOp::create(kernel.builder, kernel.loc, to, from, /*size=*/16,
                          NVVM::LoadCacheModifierKind::CG, bytes);
}

/// One instruction that does nothing but make its result of its operands.
static Value emitPtx(KernelBuilder &kernel, Type type, ValueRange operands, StringRef instruction,
                     StringRef constraints, bool staysHere = false) {
  return LLVM::InlineAsmOp::create(kernel.builder, kernel.loc, type, operands, instruction,
                                   constraints, /*has_side_effects=*/staysHere,
                                   /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
      ->getResult(0);
}

Value moec::emitRoundPair(KernelBuilder &kernel, Value low, Value high) {
  return emitPtx(kernel, kernel.i32(), {high, low}, "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f");
}

Value moec::emitFastExp2(KernelBuilder &kernel, Value x) {
  return emitPtx(kernel, kernel.f32(), {x}, "ex2.approx.ftz.f32 $0, $1;", "=f,f");
}

Value moec::emitHere(KernelBuilder &kernel, Value value) {
  return emitPtx(kernel, kernel.i64(), value, "mov.b64 $0, $1;", "=l,l", /*staysHere=*/true);
}

Value moec::emitExchange(KernelBuilder &kernel, Value value, int64_t distance) {
  return NVVM::ShflOp::create(
      kernel.builder, kernel.loc, value.getType(), kernel.integer(kernel.i32(), -1), value,
      kernel.integer(kernel.i32(), distance), kernel.integer(kernel.i32(), kWarpLanes - 1),
      NVVM::ShflKind::bfly, UnitAttr());
}
