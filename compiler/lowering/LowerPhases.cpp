// Implements moec-lower-phases.

#include "compiler/analysis/PackedWeights.h"
#include "compiler/lowering/Lowerings.h"
#include "compiler/lowering/Passes.h"
#include "compiler/targets/cuda/GroupBuilder.h"
#include "llvm/ADT/TypeSwitch.h"

namespace moec {
#define GEN_PASS_DEF_LOWERPHASES
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Most bytes of a thread's stack that a phase may take: what choosing among as many positions as
/// there may be takes and some more, below the 8 MiB that threads have by default.
static constexpr int64_t kMostStack = lm::kMostScored * 4 + (int64_t(1) << 20);

/// What `scope`, a phase or a function, takes of the stack, with what it calls, but for functions
/// that are `within` already.
static int64_t stackBytes(Operation *scope, llvm::SmallPtrSetImpl<Operation *> &within) {
  if (!within.insert(scope).second)
    return 0;
  int64_t own = 0, called = 0;
  scope->walk([&](Operation *op) {
    if (auto room = dyn_cast<LLVM::AllocaOp>(op)) {
      if (room.getElemType().isInteger(8)) // all that kernels take
        own += getConstantIntValue(room.getArraySize()).value_or(0);
    } else if (auto call = dyn_cast<func::CallOp>(op)) {
      if (auto callee =
              SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(op, call.getCalleeAttr()))
        called = std::max(called, stackBytes(callee, within));
    }
  });
  within.erase(scope);
  return own + called;
}

namespace {

struct LowerPhases final : moec::impl::LowerPhasesBase<LowerPhases> {
  using LowerPhasesBase::LowerPhasesBase;

  void runOnOperation() override {
    for (auto weight : getOperation().getOps<lm::WeightOp>())
      if (!weight.getPacked()) {
        weight.emitOpError("has no packed form, which lm-pack-weights chooses");
        return signalPassFailure();
      }
    if (Status status = findTarget(); !status.ok()) {
      getOperation().emitError() << status.message;
      return signalPassFailure();
    }
    SmallVector<lm::PhaseOp> phases;
    getOperation().walk([&](lm::PhaseOp phase) { phases.push_back(phase); });
    for (lm::PhaseOp phase : phases) {
      SmallVector<Operation *> work;
      phase.getBody().walk([&](Operation *op) {
        if (isa<lm::LmDialect, moe::MoeDialect>(op->getDialect()) && !isa<lm::SetOutputSizeOp>(op))
          work.push_back(op);
      });
      for (Operation *op : work)
        if (failed(lower(phase, *op)))
          return signalPassFailure();
      if (gpu.empty() && failed(checkStack(phase)))
        return signalPassFailure();
    }
    getOperation().walk([](lm::LayerKindOp kind) { lowerLayerKind(kind); });
  }

private:
  Status findTarget() {
    if (!gpu.empty()) {
      Result<const CudaTarget *> found = findCudaTarget(gpu);
      if (found.ok())
        architecture = *found;
      return found.ok() ? Status() : found.status();
    }
    Result<const CpuTarget *> found = findCpuTarget(cpu);
    if (!found.ok())
      return found.status();
    level = *found;
    return {};
  }

  /// By the step itself, which runs on a CPU.
  static void lowerLayerKind(lm::LayerKindOp op) {
    OpBuilder builder(op);
    CpuKernelBuilder kernel(builder, op.getLoc(), cpuTargets().front());
    Value layer =
        arith::IndexCastOp::create(builder, op.getLoc(), builder.getI64Type(), op.getLayer());
    Value kind = tableEntry(kernel, op.getKinds(), layer);
    op.replaceAllUsesWith(
        arith::IndexCastOp::create(builder, op.getLoc(), builder.getIndexType(), kind).getResult());
    op.erase();
  }

  /// A product's input is quantised where its weight is of integers, and in blocks of the weight's
  /// groups; where that is of floats of 4 bits it may be.
  static LogicalResult checkQuantized(Operation &op, Value input, Value weight) {
    auto load = weight.getDefiningOp<lm::LoadWeightOp>();
    Type element = getElementTypeOrSelf(weight);
    if (load)
      element = SymbolTable::lookupNearestSymbolFrom<lm::WeightOp>(load, load.getWeightAttr())
                    .getPackedAttr()
                    .getElement();
    const std::optional<QuantFormat> format = quantFormatOf(element);
    const int64_t depth = cast<ShapedType>(weight.getType()).getShape().back();
    const bool isQuantized = getElementTypeOrSelf(input).isInteger(8);
    const QuantCodes codes = format ? traitsOf(*format).codes : QuantCodes::Floats8;
    if (isQuantized ? codes != QuantCodes::Floats8 &&
                          extentOf(input, 1) == quantizedColumns(depth, quantGroup(*format, depth))
                    : codes == QuantCodes::Floats8 ||
                          (codes == QuantCodes::Floats4 && depth % quantGroup(*format, depth) == 0))
      return success();
    return op.emitOpError() << "multiplies rows of " << extentOf(input, 1) << " "
                            << getElementTypeOrSelf(input) << " with a weight of " << element;
  }

  static LogicalResult checkProduct(Operation &op) {
    return llvm::TypeSwitch<Operation *, LogicalResult>(&op)
        .Case<lm::LinearOp, lm::HeadLinearOp, moe::GroupedMatmulOp>([&](auto product) {
          return checkQuantized(op, product.getInput(), product.getWeight());
        })
        .Case([&](moe::GateOp gate) {
          return checkQuantized(op, gate.getTokens(), gate.getRouter());
        })
        .Case([&](moe::GroupedGluOp product) {
          return success(succeeded(checkQuantized(op, product.getInput(), product.getGate())) &&
                         succeeded(checkQuantized(op, product.getInput(), product.getUp())));
        })
        .Default(success());
  }

  LogicalResult lower(lm::PhaseOp phase, Operation &op) {
    if (failed(checkProduct(op)))
      return failure();
    OpBuilder builder(&op);
    Tile tile{
        arith::IndexCastOp::create(builder, op.getLoc(), builder.getI64Type(), phase.getTile()),
        static_cast<int64_t>(phase.getRows())};
    if (failed(gpu.empty() ? lowerForCpu(phase, op, builder, tile)
                           : lowerForWarps(phase, op, builder, tile)))
      return failure();
    op.erase();
    return success();
  }

  LogicalResult lowerForCpu(lm::PhaseOp phase, Operation &op, OpBuilder &builder,
                            const Tile &tile) const {
    CpuKernelBuilder kernel(builder, op.getLoc(), *level);
    bool isLowered =
        lowerRowWise(kernel, op, tile) ||
        (phase.getPlain() ? lowerPlainly(kernel, op) : lowerToKernel(kernel, op, tile));
    if (!isLowered)
      return op.emitOpError("has no lowering to the CPU");
    return success();
  }

  LogicalResult lowerForWarps(lm::PhaseOp phase, Operation &op, OpBuilder &builder,
                              const Tile &tile) const {
    ThreadBuilder threads(builder, op.getLoc());
    if (phase.getWarps() > 0 && lowerByBlock(threads, phase, op, tile))
      return success();
    GroupBuilder kernel(builder, op.getLoc(), static_cast<int64_t>(phase.getWarps()));
    bool isLowered = lowerRowWise(kernel, op, tile) ||
                     (phase.getPlain() ? lowerPlainly(kernel, op) : lowerByWarp(kernel, op, tile));
    if (!isLowered)
      return op.emitOpError("has no lowering to the GPU");
    return success();
  }

  static LogicalResult checkStack(lm::PhaseOp phase) {
    llvm::SmallPtrSet<Operation *, 4> within;
    const int64_t bytes = stackBytes(phase, within);
    if (bytes <= kMostStack)
      return success();
    return phase.emitOpError() << "\"" << phase.getName() << "\" takes " << bytes
                               << " bytes of a thread's stack, more than the " << kMostStack
                               << " that it may; the model's sizes are too large";
  }

  static bool lowerRowWise(KernelBuilder &kernel, Operation &op, const Tile &tile) {
    return llvm::TypeSwitch<Operation *, bool>(&op)
        .Case([&](lm::EmbeddingOp op) { return lowerEmbedding(kernel, op, tile), true; })
        .Case([&](lm::RmsNormOp op) { return lowerRmsNorm(kernel, op, tile), true; })
        .Case([&](lm::LayerNormOp op) { return lowerLayerNorm(kernel, op, tile), true; })
        .Case([&](lm::ClampOp op) { return lowerClamp(kernel, op, tile), true; })
        .Case([&](lm::RopeTableOp op) { return lowerRopeTable(kernel, op, tile), true; })
        .Case([&](lm::RopeOp op) { return lowerRope(kernel, op, tile), true; })
        .Case([&](lm::TemperatureOp op) { return lowerTemperature(kernel, op, tile), true; })
        .Case([&](lm::SliceHeadsOp op) { return lowerSliceHeads(kernel, op, tile), true; })
        .Case([&](lm::JoinHeadsOp op) { return lowerJoinHeads(kernel, op, tile), true; })
        .Case([&](lm::CacheAppendOp op) { return lowerCacheAppend(kernel, op, tile), true; })
        .Case([&](lm::ScaleRowsOp op) { return lowerScaleRows(kernel, op, tile), true; })
        .Case([&](lm::AddOp op) { return lowerAdd(kernel, op, tile), true; })
        .Case([&](lm::RoundOp op) { return lowerRound(kernel, op, tile), true; })
        .Case([&](lm::QuantizeOp op) { return lowerQuantize(kernel, op, tile), true; })
        .Case([&](lm::SelectRowsOp op) { return lowerSelectRows(kernel, op, tile), true; })
        .Case([&](lm::RecordRoutingOp op) { return lowerRecordRouting(kernel, op, tile), true; })
        .Case([&](lm::RecordLargestOp op) { return lowerRecordLargest(kernel, op, tile), true; })
        .Case(
            [&](moe::GatedActivationOp op) { return lowerGatedActivation(kernel, op, tile), true; })
        .Case([&](moe::ScoreOp op) { return lowerScore(kernel, op, tile), true; })
        .Case([&](moe::RouteOp op) { return lowerRoute(kernel, op, tile), true; })
        .Case([&](moe::PickSharedOp op) { return lowerPickShared(kernel, op, tile), true; })
        .Case([&](moe::DispatchOp op) { return lowerDispatch(kernel, op, tile), true; })
        .Case([&](moe::CombineOp op) { return lowerCombine(kernel, op, tile), true; })
        .Default(false);
  }

  static bool lowerPlainly(KernelBuilder &kernel, Operation &op) {
    return llvm::TypeSwitch<Operation *, bool>(&op)
        .Case([&](lm::LinearOp op) { return lowerLinearPlainly(kernel, op), true; })
        .Case([&](lm::HeadLinearOp op) { return lowerHeadLinearPlainly(kernel, op), true; })
        .Case([&](moe::GateOp op) { return lowerGatePlainly(kernel, op), true; })
        .Case([&](moe::GroupedMatmulOp op) { return lowerGroupedMatmulPlainly(kernel, op), true; })
        .Case([&](moe::GroupedGluOp op) { return lowerGroupedGluPlainly(kernel, op), true; })
        .Case([&](lm::ChooseKeysOp op) { return lowerChooseKeysPlainly(kernel, op), true; })
        .Case([&](lm::AttentionOp op) { return lowerAttentionPlainly(kernel, op), true; })
        .Default(false);
  }

  static bool lowerToKernel(CpuKernelBuilder &kernel, Operation &op, const Tile &tile) {
    return llvm::TypeSwitch<Operation *, bool>(&op)
        .Case([&](lm::LinearOp op) { return lowerLinear(kernel, op, tile), true; })
        .Case([&](lm::HeadLinearOp op) { return lowerHeadLinear(kernel, op, tile), true; })
        .Case([&](moe::GateOp op) { return lowerGate(kernel, op, tile), true; })
        .Case([&](moe::GroupedMatmulOp op) { return lowerGroupedMatmul(kernel, op, tile), true; })
        .Case([&](moe::GroupedGluOp op) { return lowerGroupedGlu(kernel, op, tile), true; })
        .Case([&](lm::ChooseKeysOp op) { return lowerChooseKeys(kernel, op, tile), true; })
        .Case([&](lm::AttentionOp op) { return lowerAttention(kernel, op, tile), true; })
        .Default(false);
  }

  static bool lowerByWarp(KernelBuilder &kernel, Operation &op, const Tile &tile) {
    return llvm::TypeSwitch<Operation *, bool>(&op)
        .Case([&](lm::LinearOp op) { return lowerLinearByWarp(kernel, op, tile), true; })
        .Case([&](lm::HeadLinearOp op) { return lowerHeadLinearByWarp(kernel, op, tile), true; })
        .Case<moe::GroupedMatmulOp>(
            [&](auto op) { return lowerGroupedMatmulByWarp(kernel, op, tile), true; })
        .Case<moe::GroupedGluOp>(
            [&](auto op) { return lowerGroupedGluByWarp(kernel, op, tile), true; })
        .Default(false);
  }

  bool lowerByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, Operation &op,
                    const Tile &tile) const {
    return llvm::TypeSwitch<Operation *, bool>(&op)
        .Case([&](lm::LinearOp op) { return lowerLinearByBlock(kernel, phase, op, tile), true; })
        .Case([&](lm::HeadLinearOp op) {
          return lowerHeadLinearByBlock(kernel, phase, op, tile), true;
        })
        .Case<moe::GroupedMatmulOp>(
            [&](auto op) { return lowerGroupedMatmulByBlock(kernel, phase, op, tile), true; })
        .Case<moe::GroupedGluOp>(
            [&](auto op) { return lowerGroupedGluByBlock(kernel, phase, op, tile), true; })
        .Case([&](moe::DispatchOp op) { return lowerDispatchByBlock(kernel, phase, op), true; })
        .Case([&](lm::ChooseKeysOp op) {
          return lowerChooseKeysByBlock(kernel, phase, op, tile), true;
        })
        .Case([&](moe::GateOp op) {
          GroupBuilder warp(kernel.builder, kernel.loc, /*warps=*/0),
              group(kernel.builder, kernel.loc, static_cast<int64_t>(phase.getWarps()));
          return lowerGateByBlock(warp, group, kernel, phase, op, tile), true;
        })
        .Case([&](lm::AttentionOp op) {
          GroupBuilder warp(kernel.builder, kernel.loc, /*warps=*/0);
          return lowerAttentionByBlock(warp, kernel, phase, op, tile), true;
        })
        .Case([&](lm::AttendTilesOp op) {
          return lowerAttendTilesByBlock(kernel, phase, op, tile, *architecture), true;
        })
        .Case([&](lm::AttendPiecesOp op) {
          return lowerAttendPiecesByBlock(kernel, phase, op, tile, *architecture), true;
        })
        .Case([&](lm::JoinPiecesOp op) {
          return lowerJoinPiecesByBlock(kernel, phase, op, tile), true;
        })
        .Default(false);
  }

  const CpuTarget *level = nullptr;         ///< null for a GPU
  const CudaTarget *architecture = nullptr; ///< null for a CPU
};

} // namespace
