// Implements moec-outline-phases.

#include "compiler/analysis/StepFunction.h"
#include "compiler/lowering/Passes.h"
#include "compiler/lowering/PhaseOutlining.h"
#include "compiler/lowering/RuntimeFunctions.h"
#include "runtime/core/Step.h"

#include <cstddef>
#include <unordered_map>

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
    func::FuncOp step = findStep(getOperation());
    if (!step)
      return;
    if (failed(step.insertArgument(1, IntegerType::get(&getContext(), 64), {}, step.getLoc())))
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
    if (failed(claimTiles(step, phases)) || failed(waitForTiles(barriers, step)))
      return signalPassFailure();
    if (step.getName() == kGraphName && !profile)
      shareFunctions(step);
  }

private:
  /// Calls of moec_profile_note, with the intervals of Profile.h.
  LogicalResult noteTimes(func::FuncOp step, ArrayRef<lm::PhaseOp> phases,
                          ArrayRef<lm::BarrierOp> barriers, ArrayRef<int64_t> phasesBefore) {
    FailureOr<LLVM::LLVMFuncOp> note = declareRuntimeFunction(getOperation(), "moec_profile_note");
    if (failed(note))
      return failure();
    auto call = [&](OpBuilder &builder, Location loc, int64_t interval) {
      Value state = loadBatchPointer(builder, loc, step.getArgument(0),
                                     offsetof(moec_step_arguments, profile));
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

  /// Each phase becomes a function, which the step calls for the tiles that it claims until there
  /// are none.
  LogicalResult claimTiles(func::FuncOp step, ArrayRef<lm::PhaseOp> phases) {
    if (phases.empty())
      return success();
    FailureOr<LLVM::LLVMFuncOp> claim = declareRuntimeFunction(getOperation(), "moec_tiles_claim");
    if (failed(claim))
      return failure();
    OpBuilder builder = OpBuilder::atBlockBegin(&step.getBody().front());
    Location loc = step.getLoc();
    Type i64 = builder.getI64Type();
    Value team =
        loadBatchPointer(builder, loc, step.getArgument(0), offsetof(moec_step_arguments, team));
    Value one = arith::ConstantIntOp::create(builder, loc, 1, 64);
    Value end =
        LLVM::AllocaOp::create(builder, loc, LLVM::LLVMPointerType::get(&getContext()), i64, one);
    for (size_t index = 0; index < phases.size(); ++index) {
      lm::PhaseOp phase = phases[index];
      builder.setInsertionPoint(phase);
      loc = phase->getLoc();
      Value tiles = arith::IndexCastOp::create(builder, loc, i64, phase.getTiles());
      Value run = tiles;
      if (phase.getPanels())
        run = arith::ConstantIntOp::create(builder, loc, phase.getPanels(), 64);
      auto claims = scf::WhileOp::create(builder, loc, TypeRange{i64, i64}, ValueRange());
      builder.createBlock(&claims.getBefore());
      Value first = LLVM::CallOp::create(builder, loc, *claim,
                                         ValueRange{team, step.getArgument(1), tiles, run, end})
                        .getResult();
      Value last = LLVM::LoadOp::create(builder, loc, i64, end);
      Value isSome = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, first, last);
      scf::ConditionOp::create(builder, loc, isSome, ValueRange{first, last});
      Block *body = builder.createBlock(&claims.getAfter(), {}, {i64, i64}, {loc, loc});
      outline(step, phase, index, builder, body->getArgument(0), body->getArgument(1));
      scf::YieldOp::create(builder, loc);
      phase.erase();
    }
    return success();
  }

  /// The phase as a function of the batch, what it uses and a range of tiles; `builder` calls it.
  void outline(func::FuncOp step, lm::PhaseOp phase, size_t index, OpBuilder &builder, Value first,
               Value end) {
    Location loc = phase.getLoc();
    Type indexType = builder.getIndexType();
    llvm::SetVector<Value> used = closePhase(phase);
    Value batch = step.getArgument(0);
    used.remove(batch);
    SmallVector<Value> arguments{batch};
    arguments.append(used.begin(), used.end());
    for (Value bound : {first, end})
      arguments.push_back(arith::IndexCastOp::create(builder, loc, indexType, bound));

    OpBuilder symbols(step);
    auto function =
        func::FuncOp::create(symbols, loc, phaseFunctionName(phase, index),
                             symbols.getFunctionType(TypeRange(ValueRange(arguments)), {}));
    function.setPrivate();
    // So that a profiler tells them apart; as the attribute that the conversion to LLVM keeps.
    function->setAttr("passthrough", symbols.getStrArrayAttr({"noinline"}));
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
    // Room on the stack is taken once per call, not per tile.
    function.walk([&](LLVM::AllocaOp alloca) {
      alloca.getArraySize().getDefiningOp()->moveBefore(entry, entry->begin());
      alloca->moveAfter(alloca.getArraySize().getDefiningOp());
    });
    func::CallOp::create(builder, loc, function, arguments);
  }

  /// Phases that do the same with what they are given share a function: of layers that are alike,
  /// which a graph has one after another.
  static void shareFunctions(func::FuncOp graph) {
    SymbolTable symbols(graph->getParentOfType<ModuleOp>());
    constexpr auto flags = OperationEquivalence::IgnoreLocations;
    std::unordered_map<size_t, SmallVector<func::FuncOp, 1>> known; // by hash
    graph.walk([&](func::CallOp call) {
      auto function = symbols.lookup<func::FuncOp>(call.getCallee());
      size_t hash = 0;
      function.getBody().walk([&](Operation *op) {
        hash = llvm::hash_combine(
            hash, OperationEquivalence::computeHash(op, OperationEquivalence::ignoreHashValue,
                                                    OperationEquivalence::ignoreHashValue, flags));
      });
      for (func::FuncOp other : known[hash])
        if (other.getFunctionType() == function.getFunctionType() &&
            OperationEquivalence::isRegionEquivalentTo(&other.getBody(), &function.getBody(),
                                                       flags)) {
          call.setCallee(other.getSymName());
          symbols.erase(function);
          return;
        }
      known[hash].push_back(function);
    });
  }

  LogicalResult waitForTiles(ArrayRef<lm::BarrierOp> barriers, func::FuncOp step) {
    if (barriers.empty())
      return success();
    FailureOr<LLVM::LLVMFuncOp> wait = declareRuntimeFunction(getOperation(), "moec_tiles_wait");
    if (failed(wait))
      return failure();
    for (lm::BarrierOp barrier : barriers) {
      OpBuilder builder(barrier);
      Location loc = barrier.getLoc();
      Value team =
          loadBatchPointer(builder, loc, step.getArgument(0), offsetof(moec_step_arguments, team));
      LLVM::CallOp::create(builder, loc, *wait, ValueRange{team, step.getArgument(1)});
      barrier.erase();
    }
    return success();
  }
};

} // namespace
