// A thread's numbers, and barriers.

#include "compiler/targets/cuda/ThreadBuilder.h"
#include "compiler/targets/cuda/CudaTarget.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moec;

Value ThreadBuilder::thread() {
  Value id = NVVM::ThreadIdXOp::create(builder, loc, i32());
  return arith::ExtUIOp::create(builder, loc, i64(), id);
}

Value ThreadBuilder::warp() { return div(thread(), integer(kWarpLanes)); }

Value ThreadBuilder::lane() { return rem(thread(), integer(kWarpLanes)); }

Value ThreadBuilder::votes(Value condition) {
  return NVVM::VoteSyncOp::create(builder, loc, i32(), integer(i32(), -1), condition,
                                  NVVM::VoteSyncKind::ballot);
}

Value ThreadBuilder::bitCount(Value bits) {
  return arith::ExtUIOp::create(builder, loc, i64(),
                                LLVM::CtPopOp::create(builder, loc, i32(), bits));
}

void ThreadBuilder::barrier() { NVVM::Barrier0Op::create(builder, loc); }
