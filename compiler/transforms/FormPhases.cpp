// Implements lm-form-phases.

#include "compiler/analysis/AttentionTiles.h"
#include "compiler/analysis/TensorCores.h"
#include "compiler/transforms/Passes.h"
#include "runtime/core/PackedLayout.h"
#include "llvm/ADT/TypeSwitch.h"

namespace moec {
#define GEN_PASS_DEF_FORMPHASES
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Rows of the router's product with its small matrix that are worth a tile.
static constexpr int64_t kGateRows = 8;

namespace {

/// How an op is cut into tiles.
struct Cut {
  Value tiles;
  int64_t rows = 0, panels = 0, warps = 0;
};

/// What a GPU's tensor cores multiply the operands of `op` as, if they do.
std::optional<MmaKind> tensorCoresFor(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<MmaKind>>(op)
      .Case<lm::LinearOp, lm::HeadLinearOp, moe::GroupedMatmulOp>(
          [](auto product) { return productKindOf(product.getInput(), product.getWeight()); })
      .Case([](moe::GroupedGluOp product) -> std::optional<MmaKind> {
        // Both matrices are in one stage.
        if (packedElementOf(product.getGate()) != packedElementOf(product.getUp()))
          return std::nullopt;
        return productKindOf(product.getInput(), product.getGate());
      })
      .Default(std::nullopt);
}

struct FormPhases final : moec::impl::FormPhasesBase<FormPhases> {
  using FormPhasesBase::FormPhasesBase;

  void runOnOperation() override {
    if (rows < 1) {
      getOperation().emitError() << "tiles of products have " << int64_t(rows)
                                 << " rows, wanted 1 or more";
      return signalPassFailure();
    }
    SmallVector<Operation *> work;
    getOperation().walk([&](Operation *op) {
      if (isComputing(op) && !op->getParentOfType<lm::PhaseOp>())
        work.push_back(op);
    });
    for (Operation *op : work)
      wrap(op);
  }

private:
  void wrap(Operation *op) {
    OpBuilder builder(op);
    if (auto attention = dyn_cast<lm::AttentionOp>(op);
        attention && warps && !reference && lm::cacheOf(attention).getRows() &&
        getElementTypeOrSelf(attention.getQueries()).isBF16())
      return wrapAttention(attention, builder);
    if (warps && !reference) {
      if (std::optional<MmaKind> kind = tensorCoresFor(op))
        return wrapForTensorCores(op, *kind, builder);
      if (auto gate = dyn_cast<moe::GateOp>(op))
        return wrapGate(gate, builder);
    }
    wrap(op, reference ? Cut{arith::ConstantIndexOp::create(builder, op->getLoc(), 1)}
                       : cutOf(op, builder));
  }

  /// The step knows how many rows there are, and runs the tiles for at most `few` or for more: `op`
  /// becomes two, the first for few.
  static std::pair<Operation *, Operation *> branchByRows(Operation *op, int64_t few,
                                                          OpBuilder &builder) {
    Location loc = op->getLoc();
    Value out = cast<DestinationStyleOpInterface>(op).getDpsInits().front();
    Value isFew = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ule,
                                        builder.createOrFold<memref::DimOp>(loc, out, 0),
                                        arith::ConstantIndexOp::create(builder, loc, few));
    auto branch = scf::IfOp::create(builder, loc, isFew, /*withElseRegion=*/true);
    OpBuilder inThen = branch.getThenBodyBuilder();
    Operation *copy = inThen.clone(*op);
    op->moveBefore(branch.elseYield());
    return {copy, op};
  }

  void wrapForTensorCores(Operation *op, MmaKind kind, OpBuilder &builder) {
    int64_t few = kFewRows.rows;
    if (auto experts = expertsOf(op))
      few = experts * kFewRows.rows / 2; // then hardly one of them has more
    auto [forFew, forMany] = branchByRows(op, few, builder);
    for (auto [own, tile] : {std::pair(forFew, &kFewRows), std::pair(forMany, &manyRowsOf(kind))}) {
      OpBuilder inBranch(own);
      wrap(own, mmaCutOf(own, *tile, inBranch));
    }
  }

  void wrapGate(moe::GateOp op, OpBuilder &builder) {
    auto [few, many] = branchByRows(op, kFewGateRows, builder);
    for (auto [own, tile] : {std::pair(few, kFewGateTile), std::pair(many, kManyGateTile)}) {
      OpBuilder inBranch(own);
      Location loc = own->getLoc();
      Value rows =
          inBranch.createOrFold<memref::DimOp>(loc, cast<moe::GateOp>(own).getExperts(), 0);
      Value tiles = inBranch.createOrFold<arith::CeilDivUIOp>(
          loc, rows, arith::ConstantIndexOp::create(inBranch, loc, tile.rows));
      wrap(own, {tiles, tile.rows, 0, tile.warps});
    }
  }

  /// The step knows how many rows there are: few have many pieces at work at once, which are put
  /// together behind them; of more, tiles of rows go round their pieces.
  void wrapAttention(lm::AttentionOp op, OpBuilder &builder) {
    Location loc = op.getLoc();
    auto cache = lm::cacheOf(op);
    const int64_t heads = extentOf(op.getQueries(), 1) / static_cast<int64_t>(cache.getSize()),
                  group = heads / static_cast<int64_t>(cache.getHeads()),
                  tilesOfRow = heads / attentionHeads(group), values = cache.getValueSize(),
                  block = cache.getBlock();
    const int64_t context = contextOf(op), piece = attentionPiece(context);
    const AttentionPieces pieces(piece, cache.getWindow(), cache.getChunk(), context);
    const int64_t width = heads * pieces.most * (values + lm::kPieceNumbers),
                  few = std::clamp<int64_t>(kPieceBytes / (width * 4), 1, kFewTokens);
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(builder, loc, value);
    };
    auto product = [&](Value a, int64_t b) -> Value {
      return arith::MulIOp::create(builder, loc, a, constant(b));
    };
    Value count = builder.createOrFold<memref::DimOp>(loc, op.getOut(), 0);
    Value isFew =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ule, count, constant(few));
    auto room = [&](Value rows, int64_t columns) -> Value {
      auto type = MemRefType::get({ShapedType::kDynamic, columns}, builder.getF32Type());
      return memref::AllocOp::create(builder, loc, type, rows);
    };
    Value parts = room(arith::MinUIOp::create(builder, loc, count, constant(few)), width),
          together = room(count, heads * values);
    auto branch = scf::IfOp::create(builder, loc, isFew, /*withElseRegion=*/true);
    builder.setInsertionPoint(branch.thenYield());
    Value positions = product(
        lm::BlockCountOp::create(builder, loc, builder.getIndexType(), op.getBatch()), block);
    Value most = arith::MinUIOp::create(
        builder, loc, arith::CeilDivUIOp::create(builder, loc, positions, constant(piece)),
        constant(pieces.most));
    Value splitTiles = arith::MulIOp::create(builder, loc, product(count, tilesOfRow), most),
          joinTiles = product(count, heads);
    auto split = lm::AttendPiecesOp::create(builder, loc, TypeRange(), op.getCacheAttr(),
                                            op.getScaleAttr(), builder.getI64IntegerAttr(piece),
                                            builder.getI64IntegerAttr(pieces.most), op.getLayer(),
                                            op.getBatch(), most, op.getQueries(), parts);
    auto join = lm::JoinPiecesOp::create(
        builder, loc, TypeRange(), op.getCacheAttr(), builder.getI64IntegerAttr(piece),
        builder.getI64IntegerAttr(pieces.most), op.getBatch(), parts, op.getSinks(), op.getOut());
    wrap(split, {splitTiles, 0, 0, attentionWarps(values)});
    wrap(join, {joinTiles, 0, 0, kJoinWarps});
    builder.setInsertionPoint(branch.elseYield());
    Value entries =
        lm::QueryTileCountOp::create(builder, loc, builder.getIndexType(), op.getBatch());
    Value allTiles = product(entries, attentionTilesOfEntry(attentionHeads(group)) * tilesOfRow);
    auto tiles = lm::AttendTilesOp::create(
        builder, loc, TypeRange(), op.getCacheAttr(), op.getScaleAttr(),
        builder.getI64IntegerAttr(piece), builder.getI64IntegerAttr(pieces.most), op.getLayer(),
        op.getBatch(), op.getQueries(), op.getSinks(), op.getOut(), together);
    wrap(tiles, {allTiles, 0, 0, attentionWarps(values)});
    op.erase();
  }

  /// Positions that a sequence has at most; many where the module does not say.
  static int64_t contextOf(Operation *op) {
    auto model = op->getParentOfType<ModuleOp>()->getAttrOfType<DictionaryAttr>("moec.model");
    auto context = model ? model.getAs<IntegerAttr>("context") : IntegerAttr();
    return context ? context.getInt() : int64_t(1) << 20;
  }

  static int64_t expertsOf(Operation *op) {
    return llvm::TypeSwitch<Operation *, int64_t>(op)
        .Case([](moe::GroupedMatmulOp product) { return extentOf(product.getWeight(), 0); })
        .Case([](moe::GroupedGluOp product) { return extentOf(product.getGate(), 0); })
        .Default(int64_t(0));
  }

  static Cut mmaCutOf(Operation *op, const MmaTile &tile, OpBuilder &builder) {
    Location loc = op->getLoc();
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(builder, loc, value);
    };
    Value out = cast<DestinationStyleOpInterface>(op).getDpsInits().front();
    auto byRows = [&](int64_t panels) -> Cut {
      Value blocks = arith::CeilDivUIOp::create(
          builder, loc, builder.createOrFold<memref::DimOp>(loc, out, 0), constant(tile.rows));
      return {arith::MulIOp::create(builder, loc, blocks, constant(panels)), tile.rows, panels,
              tile.warps};
    };
    auto byList = [&](Value list, int64_t matrices) -> Cut {
      const int64_t panels = mmaPanels(tile, extentOf(out, 1), matrices);
      Value most = arith::SubIOp::create(
          builder, loc, builder.createOrFold<memref::DimOp>(loc, list, 0), constant(1));
      return {arith::MulIOp::create(builder, loc, most, constant(panels)), tile.rows, panels,
              tile.warps};
    };
    return llvm::TypeSwitch<Operation *, Cut>(op)
        .Case([&](lm::LinearOp) { return byRows(mmaPanels(tile, extentOf(out, 1), 1)); })
        .Case([&](lm::HeadLinearOp linear) {
          return byRows(extentOf(linear.getWeight(), 0) *
                        mmaPanels(tile, extentOf(linear.getWeight(), 1), 1));
        })
        .Case([&](moe::GroupedMatmulOp product) { return byList(product.getTiles(), 1); })
        .Case([&](moe::GroupedGluOp product) { return byList(product.getTiles(), 2); });
  }

  void wrap(Operation *op, const Cut &cut) {
    OpBuilder builder(op);
    auto phase = lm::PhaseOp::create(builder, op->getLoc(), op->getName().stripDialect(), reference,
                                     cut.tiles, cut.rows, cut.panels, cut.warps);
    Block *body = builder.createBlock(&phase.getBody(), {}, builder.getIndexType(), op->getLoc());
    op->moveBefore(body, body->end());
  }

  /// Tiles of attention for one query tile: the heads of a key head make several where they are
  /// many.
  static int64_t attentionParts(lm::AttentionOp attention, lm::CacheOp cache) {
    const int64_t heads = extentOf(attention.getQueries(), 1) / cache.getSize();
    return heads / headsPerTile(heads / static_cast<int64_t>(cache.getHeads()));
  }

  Cut cutOf(Operation *op, OpBuilder &builder) {
    Location loc = op->getLoc();
    const int64_t height = warps ? 1 : rows;
    auto panelsOf = [&](int64_t columns) {
      return warps ? warpPanels(columns) : panelCount(columns);
    };
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(builder, loc, value);
    };
    auto extent = [&](Value buffer, int64_t dimension) -> Value {
      return builder.createOrFold<memref::DimOp>(loc, buffer, dimension);
    };
    auto pieces = [&](Value count, int64_t size) -> Value {
      return size == 1 ? count : arith::CeilDivUIOp::create(builder, loc, count, constant(size));
    };
    auto product = [&](Value a, int64_t b) -> Value {
      return arith::MulIOp::create(builder, loc, a, constant(b));
    };
    // As many as the list has room for. Those behind its end have nothing to do: how many tiles a
    // phase has must not depend on what an earlier one made.
    auto grouped = [&](Value list, Value out) -> Cut {
      Value most = arith::SubIOp::create(builder, loc, extent(list, 0), constant(1));
      int64_t panels = panelsOf(extentOf(out, 1));
      return {product(most, panels), 0, panels};
    };
    auto byRows = [&](Value out, int64_t height = 1) -> Cut {
      return {pieces(extent(out, 0), height), height, 0, warps ? kRowWarps : 0};
    };
    return llvm::TypeSwitch<Operation *, Cut>(op)
        .Case([&](lm::LinearOp linear) -> Cut {
          Value out = linear.getOut();
          int64_t panels = panelsOf(extentOf(out, 1));
          return {product(pieces(extent(out, 0), height), panels), height, panels};
        })
        .Case<moe::GroupedMatmulOp, moe::GroupedGluOp>(
            [&](auto matmul) { return grouped(matmul.getTiles(), matmul.getOut()); })
        .Case([&](lm::HeadLinearOp linear) -> Cut {
          int64_t panels =
              extentOf(linear.getWeight(), 0) * panelsOf(extentOf(linear.getWeight(), 1));
          return {product(pieces(extent(linear.getOut(), 0), height), panels), height, panels};
        })
        .Case(
            [&](moe::DispatchOp) -> Cut { return {constant(1), 0, 0, warps ? kDispatchWarps : 0}; })
        .Case([&](moe::GateOp gate) { return byRows(gate.getTokens(), kGateRows); })
        .Case([&](lm::AttentionOp attention) -> Cut {
          auto cache = lm::cacheOf(attention);
          if (warps)
            return {product(extent(attention.getQueries(), 0),
                            extentOf(attention.getQueries(), 1) / cache.getSize()),
                    0, 0, kAttentionWarps};
          return {product(lm::QueryTileCountOp::create(builder, loc, builder.getIndexType(),
                                                       attention.getBatch()),
                          attentionParts(attention, cache))};
        })
        .Case([&](lm::ChooseKeysOp choice) -> Cut {
          return {extent(choice.getOut(), 0), 1, 0, warps ? kChoiceWarps : 0};
        })
        .Case([&](lm::CacheAppendOp append) { return byRows(append.getKeys()); })
        .Case([&](lm::RecordRoutingOp record) { return byRows(record.getExperts()); })
        .Case([&](lm::RecordLargestOp record) -> Cut {
          const int64_t panels = record.pieces();
          return {product(extent(record.getLogits(), 0), panels), 1, panels};
        })
        .Default([&](Operation *other) {
          return byRows(cast<DestinationStyleOpInterface>(other).getDpsInits().front());
        });
  }
};

} // namespace
