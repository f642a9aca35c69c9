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

void ThreadBuilder::barrier() { NVVM::Barrier0Op::create(builder, loc); }
