// Implements lm-form-graph-phases.

#include "compiler/transforms/BufferSizes.h"
#include "compiler/transforms/Passes.h"
#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Interfaces/TilingInterface.h"
#include "runtime/core/PackedLayout.h"
#include "llvm/ADT/TypeSwitch.h"

namespace moec {
#define GEN_PASS_DEF_FORMGRAPHPHASES
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Innermost iterations that are worth a tile.
static constexpr int64_t kTileWork = 1 << 15;
/// Tiles of work whose extent follows from data, so that nobody knows it before.
static constexpr int64_t kUnknownTiles = 32;

/// Rows of a tile of a product, and of other work on rows, where data decides how many there are.
static constexpr int64_t kLinearRows = 128;
static constexpr int64_t kFewRows = 8;
/// Most tiles of an op that works on rows one by one.
static constexpr int64_t kMostRowTiles = 256;

namespace {

/// Index arithmetic that folds what is constant.
struct IndexMath {
  OpBuilder &builder;
  Location loc;

  Value constant(int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); }
  template <typename Op> Value make(Value a, Value b) {
    return builder.createOrFold<Op>(loc, a, b);
  }
  Value mul(Value a, Value b) { return make<arith::MulIOp>(a, b); }
  Value add(Value a, Value b) { return make<arith::AddIOp>(a, b); }
  Value sub(Value a, Value b) { return make<arith::SubIOp>(a, b); }
  Value div(Value a, Value b) { return make<arith::DivUIOp>(a, b); }
  Value rem(Value a, Value b) { return make<arith::RemUIOp>(a, b); }
  Value ceilDiv(Value a, Value b) { return make<arith::CeilDivUIOp>(a, b); }
  Value min(Value a, Value b) { return make<arith::MinUIOp>(a, b); }
  Value max(Value a, Value b) { return make<arith::MaxUIOp>(a, b); }
};

/// How the iterations of a linalg op are divided: rows are the places along all parallel loops but
/// the last, each of which is cut into blocks along that one. A unit is one block of one row.
struct Units {
  SmallVector<Value> extents;  ///< of each loop
  SmallVector<unsigned> outer; ///< parallel loops but the last
  std::optional<unsigned> inner;
  Value blocks, count; ///< of a row, and of all rows
  Value perTile;

  Units(linalg::LinalgOp op, OpBuilder &builder) {
    IndexMath math{builder, op.getLoc()};
    for (const Range &range : op.createLoopRanges(builder, op.getLoc())) {
      Value extent = getValueOrCreateConstantIndexOp(builder, op.getLoc(), range.size);
      if (auto dim = extent.getDefiningOp<memref::DimOp>())
        if (std::optional<int64_t> dimension = dim.getConstantIndex())
          extent = sizeOf(builder, op.getLoc(), dim.getSource(), *dimension);
      extents.push_back(extent);
    }
    SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
    Value rows = math.constant(1), each = math.constant(1);
    for (auto [loop, kind] : llvm::enumerate(kinds)) {
      if (kind != utils::IteratorType::parallel) {
        each = math.mul(each, extents[loop]);
        continue;
      }
      if (inner) {
        outer.push_back(*inner);
        rows = math.mul(rows, extents[*inner]);
      }
      inner = loop;
    }
    if (!inner)
      return;
    Value one = math.constant(1), work = math.constant(kTileWork);
    Value row = math.mul(extents[*inner], each);
    blocks = math.max(math.min(math.ceilDiv(row, work), extents[*inner]), one);
    count = math.mul(rows, blocks);
    perTile = math.max(math.div(work, math.max(math.ceilDiv(row, blocks), one)), one);
  }

  /// The op on the units [first, end), at the builder.
  LogicalResult emit(linalg::LinalgOp op, OpBuilder &builder, Value first, Value end) const {
    Location loc = op.getLoc();
    IndexMath math{builder, loc};
    auto loop = scf::ForOp::create(builder, loc, first, end, math.constant(1));
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value unit = loop.getInductionVar();
    SmallVector<OpFoldResult> offsets(extents.size(), builder.getIndexAttr(0)), sizes;
    for (Value extent : extents)
      sizes.push_back(getAsOpFoldResult(extent));
    Value block = math.rem(unit, blocks), columns = extents[*inner];
    Value begin = math.div(math.mul(block, columns), blocks);
    Value behind = math.div(math.mul(math.add(block, math.constant(1)), columns), blocks);
    offsets[*inner] = getAsOpFoldResult(begin);
    sizes[*inner] = getAsOpFoldResult(math.sub(behind, begin));
    Value row = math.div(unit, blocks);
    for (unsigned dimension : llvm::reverse(outer)) {
      offsets[dimension] = getAsOpFoldResult(math.rem(row, extents[dimension]));
      sizes[dimension] = builder.getIndexAttr(1);
      row = math.div(row, extents[dimension]);
    }
    auto tiling = cast<TilingInterface>(op.getOperation());
    return success(succeeded(tiling.getTiledImplementation(builder, offsets, sizes)));
  }
};

struct FormGraphPhases final : moec::impl::FormGraphPhasesBase<FormGraphPhases> {
  void runOnOperation() override {
    func::FuncOp graph = getOperation();
    if (graph.getName() != kGraphName)
      return;
    if (!graph.getBody().hasOneBlock()) {
      graph.emitError("has several blocks; branches of a graph are 'scf.if' and loops");
      return signalPassFailure();
    }
    copyByLoops(graph);
    resolveSizes(graph);
    graph.walk([&](lm::GraphOutputOp output) {
      if (output.getName() == kFailureName)
        failureOutput = output.getValue();
    });
    graph.walk([](scf::IfOp branch) { chooseBuffers(branch); });
    for (Operation &op : llvm::make_early_inc_range(graph.getBody().front().without_terminator()))
      if (failed(place(op)))
        return signalPassFailure();
    for (Operation *op : llvm::reverse(pending))
      op->erase();
  }

private:
  /// Copies become linalg, which all threads can share.
  static void copyByLoops(func::FuncOp graph) {
    graph.walk([](memref::CopyOp copy) {
      OpBuilder builder(copy);
      linalg::makeMemRefCopyOp(builder, copy.getLoc(), copy.getSource(), copy.getTarget());
      copy.erase();
    });
  }

  /// What asks a buffer for its size gets what it was made with.
  static void resolveSizes(func::FuncOp graph) {
    graph.walk([](memref::DimOp dim) {
      std::optional<int64_t> dimension = dim.getConstantIndex();
      if (!dimension || !isa<MemRefType>(dim.getSource().getType()))
        return;
      OpBuilder builder(dim);
      Value size = sizeOf(builder, dim.getLoc(), dim.getSource(), *dimension);
      if (size.getDefiningOp<memref::DimOp>())
        return;
      dim.replaceAllUsesWith(size);
      dim.erase();
    });
  }

  /// Takes a value out of the branch that makes it, if it is a buffer or a view of one, or a number
  /// that follows from what is outside. Whether it is outside then.
  static bool takeOut(Value value, scf::IfOp branch) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return !branch->isAncestor(value.getParentBlock()->getParentOp());
    if (!branch->isProperAncestor(op))
      return true;
    if (op->getNumRegions() > 0 || !(isa<memref::AllocOp>(op) || isPure(op)) ||
        !llvm::all_of(op->getOperands(), [&](Value used) { return takeOut(used, branch); }))
      return false;
    op->moveBefore(branch);
    return true;
  }

  /// Buffers that a branch gives are there whichever way it goes; which one is meant is a choice
  /// behind it.
  static void chooseBuffers(scf::IfOp branch) {
    for (OpResult result : branch.getResults()) {
      if (!isa<MemRefType>(result.getType()))
        continue;
      Value yes = branch.thenYield().getOperand(result.getResultNumber());
      Value no = branch.elseYield().getOperand(result.getResultNumber());
      if (!takeOut(yes, branch) || !takeOut(no, branch))
        continue;
      OpBuilder builder(branch->getContext());
      builder.setInsertionPointAfter(branch);
      result.replaceAllUsesWith(
          arith::SelectOp::create(builder, branch.getLoc(), branch.getCondition(), yes, no));
    }
  }

  /// All that an op and what is in it use from outside of it; what makes it may be in a phase by
  /// now, which is no region around.
  static llvm::SetVector<Value> usedBy(Operation &op) {
    llvm::SetVector<Value> used;
    op.walk([&](Operation *inner) {
      for (Value operand : inner->getOperands()) {
        auto argument = dyn_cast<BlockArgument>(operand);
        const bool isInside = argument ? op.isAncestor(argument.getOwner()->getParentOp())
                                       : op.isProperAncestor(operand.getDefiningOp());
        if (!isInside)
          used.insert(operand);
      }
    });
    return used;
  }

  /// Whether a value is there before any phase has run.
  bool isKnown(Value value) const {
    Operation *op = value.getDefiningOp();
    return !op || (!isPending.contains(op) && !slots.contains(value));
  }

  LogicalResult place(Operation &op) {
    if (op.hasTrait<OpTrait::ConstantLike>())
      return success(); // phases make it their own
    const llvm::SetVector<Value> used = usedBy(op);
    const bool areKnown = llvm::all_of(used, [&](Value value) { return isKnown(value); });
    if (isa<memref::AllocOp>(op)) {
      if (areKnown)
        return success();
      return reserve(cast<memref::AllocOp>(op));
    }
    if (areKnown && (isComputing(&op) || (op.getNumRegions() == 0 && mayStandBetweenPhases(&op))))
      return success();
    if (isComputing(&op))
      return shareRowsOfData(op);
    if (isMemoryEffectFree(&op)) { // each phase that needs it does it again
      isPending.insert(&op);
      pending.push_back(&op);
      return success();
    }
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (linalgOp && linalgOp.getNumParallelLoops() > 0)
      return share(linalgOp, areKnown);
    if (areKnown && hasRows(op))
      return shareRows(cast<DestinationStyleOpInterface>(op));
    return doAtOnce(op);
  }

  /// Whether an op does the same for each entry of the first dimension of all its operands.
  static bool hasRows(Operation &op) {
    if (auto scan = dyn_cast<linalg_ext::ScanOp>(op))
      return scan.getDimension() > 0;
    auto top = dyn_cast<linalg_ext::TopKOp>(op);
    return top && cast<MemRefType>(top.getInput().getType()).getRank() > 1;
  }

  /// Blocks of such entries are tiles.
  LogicalResult shareRows(DestinationStyleOpInterface op) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    lastAlone = {};
    IndexMath outside{builder, loc};
    Value rows = builder.createOrFold<memref::DimOp>(loc, op->getOperand(0), 0);
    Value tiles = outside.min(rows, outside.constant(kMostRowTiles));
    lm::PhaseOp phase = createPhase(builder, *op, tiles);
    IndexMath math{builder, loc};
    auto bound = [&](Value tile) { return math.div(math.mul(tile, rows), tiles); };
    Value first = bound(phase.getTile()), end = bound(math.add(phase.getTile(), math.constant(1)));
    IRMapping slices;
    for (Value operand : op->getOperands()) {
      const int64_t rank = cast<MemRefType>(operand.getType()).getRank();
      SmallVector<OpFoldResult> offsets(rank, builder.getIndexAttr(0)),
          strides(rank, builder.getIndexAttr(1)),
          sizes = memref::getMixedSizes(builder, loc, operand);
      offsets[0] = first;
      sizes[0] = math.sub(end, first);
      if (!slices.contains(operand))
        slices.map(
            operand,
            memref::SubViewOp::create(builder, loc, operand, offsets, sizes, strides).getResult());
    }
    builder.clone(*op, slices);
    op->erase();
    return success();
  }

  /// How work of `lm` and `moe` is cut: blocks of rows of a buffer, each in panels of a product.
  struct Cut {
    Value buffer; ///< null: one tile does everything
    int64_t height, panels;
  };

  /// None for what needs to know its sizes beforehand.
  static std::optional<Cut> cutOf(Operation &op) {
    auto panelsOf = [](Value out) { return panelCount(extentOf(out, 1)); };
    return llvm::TypeSwitch<Operation *, std::optional<Cut>>(&op)
        .Case([&](lm::LinearOp product) {
          return Cut{product.getOut(), kLinearRows, panelsOf(product.getOut())};
        })
        .Case<moe::GroupedMatmulOp, moe::GroupedGluOp>(
            [&](auto product) { return Cut{product.getTiles(), 1, panelsOf(product.getOut())}; })
        .Case([](moe::DispatchOp) { return Cut{{}, 0, 0}; })
        .Case([](RowWiseOpInterface) { return Cut{{}, kFewRows, 0}; })
        .Default(std::nullopt);
  }

  /// Work on rows whose number follows from data has tiles for the most there can be.
  LogicalResult shareRowsOfData(Operation &op) {
    std::optional<Cut> cut = cutOf(op);
    if (!cut)
      return op.emitOpError("works on buffers whose sizes follow from data");
    OpBuilder builder(&op);
    Location loc = op.getLoc();
    lastAlone = {};
    if (cut->height > 0 && !cut->buffer)
      cut->buffer = cast<DestinationStyleOpInterface>(op).getDpsInits().front();
    IndexMath outside{builder, loc};
    Value tiles = outside.constant(1), panels = outside.constant(std::max<int64_t>(cut->panels, 1));
    if (cut->buffer) {
      Value rows = sizeOf(builder, loc, cut->buffer, 0);
      Value most = largestOf(builder, rows, [&](Value value) { return isKnown(value); });
      if (!most)
        return op.emitOpError("has rows whose number follows from data, and no bound that follows "
                              "from the dimensions of the graph");
      tiles = outside.mul(outside.ceilDiv(most, outside.constant(cut->height)), panels);
    }
    auto phase = lm::PhaseOp::create(builder, loc, op.getName().stripDialect(), /*plain=*/false,
                                     tiles, cut->height, cut->panels, /*warps=*/0);
    builder.createBlock(&phase.getBody(), {}, builder.getIndexType(), loc);
    IRMapping mapping;
    for (Value value : usedBy(op))
      if (failed(compute(value, builder, mapping)))
        return failure();
    if (cut->buffer) { // tiles behind the rows that there are do nothing
      IndexMath math{builder, loc};
      Value first = math.mul(math.div(phase.getTile(), panels), math.constant(cut->height));
      Value rows = sizeOf(builder, loc, mapping.lookupOrDefault(cut->buffer), 0);
      Value hasRows = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, first, rows);
      builder = scf::IfOp::create(builder, loc, hasRows).getThenBodyBuilder();
    }
    builder.clone(op, mapping);
    op.erase();
    return success();
  }

  /// A buffer whose size follows from data is a view of one that has room for the largest.
  LogicalResult reserve(memref::AllocOp alloc) {
    OpBuilder builder(alloc);
    Location loc = alloc.getLoc();
    MemRefType type = alloc.getType();
    int64_t fixed = (type.getElementTypeBitWidth() + 7) / 8;
    for (int64_t size : type.getShape())
      fixed *= ShapedType::isStatic(size) ? size : 1;
    Value bytes = arith::ConstantIndexOp::create(builder, loc, fixed);
    for (Value size : alloc.getDynamicSizes()) {
      Value bound = largestOf(builder, size, [&](Value value) { return isKnown(value); });
      if (!bound)
        return alloc.emitError("has a size that follows from data, and no bound that follows from "
                               "the dimensions of the graph");
      bytes = builder.createOrFold<arith::MulIOp>(loc, bytes, bound);
    }
    Value room = memref::AllocOp::create(
        builder, loc, MemRefType::get({ShapedType::kDynamic}, builder.getI8Type()), bytes);
    Value begin = arith::ConstantIndexOp::create(builder, loc, 0);
    auto view = memref::ViewOp::create(builder, loc, type, room, begin, alloc.getDynamicSizes());
    alloc.replaceAllUsesWith(view.getResult());
    alloc.erase();
    isPending.insert(view);
    pending.push_back(view);
    return success();
  }

  static lm::PhaseOp createPhase(OpBuilder &builder, Operation &op, Value tiles) {
    auto phase = lm::PhaseOp::create(builder, op.getLoc(), op.getName().stripDialect(),
                                     /*plain=*/false, tiles, /*rows=*/0, /*panels=*/0, /*warps=*/0);
    builder.createBlock(&phase.getBody(), {}, builder.getIndexType(), op.getLoc());
    return phase;
  }

  /// Tiles for all threads.
  LogicalResult share(linalg::LinalgOp op, bool areKnown) {
    OpBuilder builder(op);
    lastAlone = {};
    if (areKnown) {
      Units units(op, builder);
      IndexMath outside{builder, op.getLoc()};
      lm::PhaseOp phase = createPhase(builder, *op, outside.ceilDiv(units.count, units.perTile));
      IndexMath math{builder, op.getLoc()};
      Value first = math.mul(phase.getTile(), units.perTile);
      Value end = math.min(math.add(first, units.perTile), units.count);
      if (failed(units.emit(op, builder, first, end)))
        return op.emitOpError("cannot be divided among threads");
    } else {
      IndexMath outside{builder, op.getLoc()};
      Value tiles = outside.constant(kUnknownTiles);
      lm::PhaseOp phase = createPhase(builder, *op, tiles);
      IRMapping mapping;
      for (Value value : usedBy(*op))
        if (failed(compute(value, builder, mapping)))
          return failure();
      auto own = cast<linalg::LinalgOp>(builder.clone(*op, mapping));
      builder.setInsertionPoint(own);
      Units units(own, builder);
      IndexMath math{builder, op.getLoc()};
      auto bound = [&](Value tile) { return math.div(math.mul(tile, units.count), tiles); };
      Value first = bound(phase.getTile()),
            end = bound(math.add(phase.getTile(), math.constant(1)));
      if (failed(units.emit(own, builder, first, end)))
        return op.emitOpError("cannot be divided among threads");
      own.erase();
    }
    op.erase();
    return success();
  }

  /// One tile, which may do several ops one after the other.
  LogicalResult doAtOnce(Operation &op) {
    OpBuilder builder(&op);
    if (!lastAlone || !isDirectlyBefore(lastAlone, op)) {
      Value one = arith::ConstantIndexOp::create(builder, op.getLoc(), 1);
      lastAlone = createPhase(builder, op, one);
    }
    lastAlone->moveBefore(&op); // behind what was between, which the op may use
    Block &body = lastAlone.getBody().front();
    builder.setInsertionPointToEnd(&body);
    IRMapping mapping;
    const llvm::SetVector<Value> used = usedBy(op);
    for (Value value : used)
      if (failed(compute(value, builder, mapping)))
        return failure();
    op.moveBefore(&body, body.end());
    op.walk([&](Operation *inner) {
      for (OpOperand &operand : inner->getOpOperands())
        operand.set(mapping.lookupOrDefault(operand.get()));
    });
    builder.setInsertionPointToEnd(&body);
    for (Value result : op.getResults())
      if (failed(keep(result, builder)))
        return failure();
    if (failureOutput && used.contains(failureOutput))
      lastAlone = {}; // what comes behind is left out where that has failed
    return success();
  }

  /// Whether nothing but what is known beforehand stands between.
  bool isDirectlyBefore(Operation *phase, Operation &op) const {
    for (Operation *next = phase->getNextNode(); next != &op; next = next->getNextNode())
      if (!next || isComputing(next) || isa<lm::PhaseOp>(next))
        return false;
    return true;
  }

  /// Stores a result for the phases behind.
  LogicalResult keep(Value result, OpBuilder &builder) {
    if (result.use_empty())
      return success();
    Location loc = result.getLoc();
    Type type = result.getType();
    if (!type.isIntOrIndexOrFloat())
      return result.getDefiningOp()->emitError()
             << "gives a value of type " << type
             << " that follows from data, wanted one that is written to a given buffer";
    OpBuilder atStart = OpBuilder::atBlockBegin(&getOperation().getBody().front());
    const bool isIndex = type.isIndex();
    Type held = isIndex ? atStart.getI64Type() : type;
    Value slot = memref::AllocOp::create(atStart, loc, MemRefType::get({}, held));
    Value stored =
        isIndex ? arith::IndexCastOp::create(builder, loc, held, result).getResult() : result;
    memref::StoreOp::create(builder, loc, stored, slot);
    slots[result] = slot;
    return success();
  }

  /// Makes a value anew, in a phase.
  LogicalResult compute(Value value, OpBuilder &builder, IRMapping &mapping) {
    if (isKnown(value) || mapping.contains(value))
      return success();
    Location loc = value.getLoc();
    if (Value slot = slots.lookup(value)) {
      Value loaded = memref::LoadOp::create(builder, loc, slot);
      if (value.getType().isIndex())
        loaded = arith::IndexCastOp::create(builder, loc, value.getType(), loaded);
      mapping.map(value, loaded);
      return success();
    }
    Operation *op = value.getDefiningOp();
    for (Value used : usedBy(*op))
      if (failed(compute(used, builder, mapping)))
        return failure();
    builder.clone(*op, mapping);
    return success();
  }

  llvm::DenseSet<Operation *> isPending;
  SmallVector<Operation *> pending; ///< in order
  llvm::DenseMap<Value, Value> slots;
  Value failureOutput;   ///< where a failure is told; null where nothing is checked
  lm::PhaseOp lastAlone; ///< of one tile, which more work may go into
};

} // namespace
