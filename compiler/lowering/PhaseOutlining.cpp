// Closes phases over what they use.

#include "compiler/lowering/PhaseOutlining.h"

#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace moec;

/// Whether it is an address in one of the module's variables.
static bool isOwnAddress(Value value) {
  while (auto step = value.getDefiningOp<LLVM::GEPOp>())
    value = step.getBase();
  return value.getDefiningOp<LLVM::AddressOfOp>() != nullptr;
}

llvm::SetVector<Value> moec::closePhase(lm::PhaseOp phase) {
  llvm::SetVector<Value> used, open;
  getUsedValuesDefinedAbove(phase.getBody(), used);
  SmallVector<Value> work = used.takeVector();
  for (size_t i = 0; i < work.size(); ++i) {
    Value value = work[i];
    Operation *op = value.getDefiningOp();
    if (!op || !(op->hasTrait<OpTrait::ConstantLike>() || isOwnAddress(value))) {
      open.insert(value);
      continue;
    }
    // What it is made of comes later, once more where it has been before, and in front of it.
    OpBuilder builder = OpBuilder::atBlockBegin(&phase.getBody().front());
    Value clone = builder.clone(*op)->getResult(0);
    value.replaceUsesWithIf(
        clone, [&](OpOperand &use) { return phase->isProperAncestor(use.getOwner()); });
    llvm::append_range(work, op->getOperands());
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
