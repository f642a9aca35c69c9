// Implements moec-outline-phases.

#include "compiler/lowering/Passes.h"
#include "compiler/lowering/RuntimeFunctions.h"
#include "dialects/lm/LmDialect.h"
#include "mlir/Transforms/RegionUtils.h"
#include "runtime/core/Step.h"

#include <cstddef>

namespace moec {
#define GEN_PASS_DEF_OUTLINEPHASES
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct OutlinePhases final : moec::impl::OutlinePhasesBase<OutlinePhases> {
  using OutlinePhasesBase::OutlinePhasesBase;

  void runOnOperation() override {
    auto step = getOperation().lookupSymbol<func::FuncOp>("step");
    if (!step)
      return;
    // thread and threads, behind the batch.
    OpBuilder builder(step);
    Type i64 = builder.getI64Type();
    if (failed(step.insertArguments({1, 1}, {i64, i64}, {{}, {}}, {step.getLoc(), step.getLoc()})))
      return signalPassFailure();
    SmallVector<lm::PhaseOp> phases;
    SmallVector<lm::BarrierOp> barriers;
    SmallVector<int64_t> phasesBefore; // each barrier
    step.walk([&](Operation *op) {
      if (auto phase = dyn_cast<lm::PhaseOp>(op)) {
        phases.push_back(phase);
      } else if (auto barrier = dyn_cast<lm::BarrierOp>(op)) {
        barriers.push_back(barrier);
        phasesBefore.push_back(phases.size());
      }
    });
    if (profile && failed(noteTimes(step, phases, barriers, phasesBefore)))
      return signalPassFailure();
    for (auto [index, phase] : llvm::enumerate(phases))
      outline(step, phase, index);
    if (barriers.empty())
      return;
    FailureOr<LLVM::LLVMFuncOp> wait = declareRuntimeFunction(getOperation(), "moec_barrier_wait");
    if (failed(wait))
      return signalPassFailure();
    for (lm::BarrierOp barrier : barriers)
      callBarrier(step, barrier, *wait);
  }

private:
  /// Calls of moec_profile_note, with the intervals of Profile.h.
  LogicalResult noteTimes(func::FuncOp step, ArrayRef<lm::PhaseOp> phases,
                          ArrayRef<lm::BarrierOp> barriers, ArrayRef<int64_t> phasesBefore) {
    FailureOr<LLVM::LLVMFuncOp> note = declareRuntimeFunction(getOperation(), "moec_profile_note");
    if (failed(note))
      return failure();
    auto call = [&](OpBuilder &builder, Location loc, int64_t interval) {
      Value state = loadField(step, builder, loc, offsetof(moec_step_arguments, profile));
      Value number = arith::ConstantIntOp::create(builder, loc, interval, 64);
      LLVM::CallOp::create(builder, loc, *note, ValueRange{state, step.getArgument(1), number});
    };
    OpBuilder builder = OpBuilder::atBlockBegin(&step.getBody().front());
    call(builder, step.getLoc(), -1);
    for (auto [index, phase] : llvm::enumerate(phases)) {
      builder.setInsertionPointAfter(phase);
      call(builder, phase->getLoc(), index);
    }
    for (auto [barrier, before] : llvm::zip(barriers, phasesBefore)) {
      builder.setInsertionPointAfter(barrier);
      call(builder, barrier->getLoc(), phases.size() + std::max<int64_t>(before, 1) - 1);
    }
    return success();
  }

  /// A pointer out of moec_step_arguments, at byte `offset`.
  static Value loadField(func::FuncOp step, OpBuilder &builder, Location loc, size_t offset) {
    auto pointer = LLVM::LLVMPointerType::get(step.getContext());
    Value batch =
        UnrealizedConversionCastOp::create(builder, loc, pointer, step.getArgument(0)).getResult(0);
    Value field = LLVM::GEPOp::create(builder, loc, pointer, builder.getI8Type(), batch,
                                      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
    return LLVM::LoadOp::create(builder, loc, pointer, field);
  }

  void outline(func::FuncOp step, lm::PhaseOp phase, size_t index) {
    OpBuilder builder(phase);
    Location loc = phase.getLoc();
    Type indexType = builder.getIndexType();
    cloneConstants(phase);
    llvm::SetVector<Value> used;
    getUsedValuesDefinedAbove(phase.getBody(), used);
    Value batch = step.getArgument(0);
    used.remove(batch);

    // This thread's share of the tiles: [thread * tiles / threads, (thread + 1) * tiles / threads).
    auto toIndex = [&](Value value) -> Value {
      return arith::IndexCastOp::create(builder, loc, indexType, value);
    };
    Value thread = toIndex(step.getArgument(1)), threads = toIndex(step.getArgument(2));
    Value one = arith::ConstantIndexOp::create(builder, loc, 1);
    auto bound = [&](Value part) -> Value {
      Value product = arith::MulIOp::create(builder, loc, part, phase.getTiles());
      return arith::DivUIOp::create(builder, loc, product, threads);
    };
    SmallVector<Value> arguments{batch};
    arguments.append(used.begin(), used.end());
    arguments.push_back(bound(thread));
    arguments.push_back(bound(arith::AddIOp::create(builder, loc, thread, one)));

    OpBuilder symbols(step);
    std::string name = "phase_" + std::to_string(index) + "_" + phase.getName().str();
    auto function = func::FuncOp::create(
        symbols, loc, name, symbols.getFunctionType(TypeRange(ValueRange(arguments)), {}));
    function.setPrivate();
    function->setAttr("no_inline", symbols.getUnitAttr());
    Block *entry = function.addEntryBlock();
    OpBuilder body = OpBuilder::atBlockBegin(entry);
    Value step1 = arith::ConstantIndexOp::create(body, loc, 1);
    unsigned last = arguments.size() - 1;
    auto loop = scf::ForOp::create(body, loc, entry->getArgument(last - 1),
                                   entry->getArgument(last), step1);
    func::ReturnOp::create(body, loc);

    Block &tile = phase.getBody().front();
    tile.getArgument(0).replaceAllUsesWith(loop.getInductionVar());
    loop.getBody()->getOperations().splice(loop.getBody()->begin(), tile.getOperations());
    for (auto [value, argument] : llvm::zip(arguments, entry->getArguments()))
      value.replaceUsesWithIf(
          argument, [&](OpOperand &use) { return function->isProperAncestor(use.getOwner()); });
    // Room on the stack is taken once, not per tile.
    function.walk([&](LLVM::AllocaOp alloca) {
      alloca.getArraySize().getDefiningOp()->moveBefore(entry, entry->begin());
      alloca->moveAfter(alloca.getArraySize().getDefiningOp());
    });
    func::CallOp::create(builder, loc, function, arguments);
    phase.erase();
  }

  /// Constants used inside are made inside.
  static void cloneConstants(lm::PhaseOp phase) {
    llvm::SetVector<Value> used;
    getUsedValuesDefinedAbove(phase.getBody(), used);
    OpBuilder builder = OpBuilder::atBlockBegin(&phase.getBody().front());
    for (Value value : used)
      if (Operation *op = value.getDefiningOp(); op && op->hasTrait<OpTrait::ConstantLike>()) {
        Value clone = builder.clone(*op)->getResult(0);
        value.replaceUsesWithIf(
            clone, [&](OpOperand &use) { return phase->isProperAncestor(use.getOwner()); });
      }
  }

  static void callBarrier(func::FuncOp step, lm::BarrierOp barrier, LLVM::LLVMFuncOp wait) {
    OpBuilder builder(barrier);
    Value state =
        loadField(step, builder, barrier.getLoc(), offsetof(moec_step_arguments, barrier));
    LLVM::CallOp::create(builder, barrier.getLoc(), wait, ValueRange{state, step.getArgument(2)});
    barrier.erase();
  }
};

} // namespace
