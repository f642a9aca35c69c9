// Brings kernels to llvm and nvvm by upstream's passes.

#include "compiler/targets/emulator/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace moec;

/// Whether MLIR would make PTX of it as it is.
static bool isLowered(gpu::GPUModuleOp module) {
  WalkResult found = module.walk([&](Operation *op) {
    const bool isLow = op == module || isa<LLVM::LLVMDialect, NVVM::NVVMDialect>(op->getDialect());
    return isLow ? WalkResult::advance() : WalkResult::interrupt();
  });
  return !found.wasInterrupted();
}

LogicalResult moec::lowerGpuModules(ModuleOp module) {
  bool anyHigh = false;
  for (auto kernels : module.getOps<gpu::GPUModuleOp>())
    anyHigh |= !isLowered(kernels);
  if (!anyHigh)
    return success();

  PassManager first(module.getContext());
  OpPassManager &high = first.nest<gpu::GPUModuleOp>();
  high.addPass(createConvertNVGPUToNVVMPass());
  high.addPass(createConvertVectorToSCFPass());
  if (failed(first.run(module)))
    return failure();

  // Transfers of one dimension become vector loads and stores, which the conversion below knows.
  RewritePatternSet transfers(module.getContext());
  vector::populateVectorTransferLoweringPatterns(transfers, /*maxTransferRank=*/1);
  if (failed(applyPatternsGreedily(module, std::move(transfers))))
    return failure();

  PassManager second(module.getContext());
  OpPassManager &low = second.nest<gpu::GPUModuleOp>();
  low.addPass(memref::createExpandStridedMetadataPass());
  low.addPass(createLowerAffinePass());
  low.addPass(createSCFToControlFlowPass());
  ConvertGpuOpsToNVVMOpsOptions options;
  options.hasRedux = true;
  low.addPass(createConvertGpuOpsToNVVMOps(options));
  low.addPass(createCanonicalizerPass());
  low.addPass(createCSEPass());
  low.addPass(createReconcileUnrealizedCastsPass());
  return second.run(module);
}
