// Closes phases over what they use.

#include "compiler/lowering/PhaseOutlining.h"

#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace moec;

llvm::SetVector<Value> moec::closePhase(lm::PhaseOp phase) {
  llvm::SetVector<Value> used, open;
  getUsedValuesDefinedAbove(phase.getBody(), used);
  OpBuilder builder = OpBuilder::atBlockBegin(&phase.getBody().front());
  for (Value value : used) {
    Operation *op = value.getDefiningOp();
    if (!op || !op->hasTrait<OpTrait::ConstantLike>()) {
      open.insert(value);
      continue;
    }
    Value clone = builder.clone(*op)->getResult(0);
    value.replaceUsesWithIf(
        clone, [&](OpOperand &use) { return phase->isProperAncestor(use.getOwner()); });
  }
  return open;
}

std::string moec::phaseFunctionName(lm::PhaseOp phase, size_t index) {
  return "phase_" + std::to_string(index) + "_" + phase.getName().str();
}

Value moec::loadBatchPointer(OpBuilder &builder, Location loc, Value batch, size_t offset) {
  auto pointer = LLVM::LLVMPointerType::get(batch.getContext());
  Value arguments = UnrealizedConversionCastOp::create(builder, loc, pointer, batch).getResult(0);
  Value field = LLVM::GEPOp::create(builder, loc, pointer, builder.getI8Type(), arguments,
                                    ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
  return LLVM::LoadOp::create(builder, loc, pointer, field);
}
