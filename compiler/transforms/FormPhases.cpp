// Implements lm-form-phases.

#include "compiler/analysis/AttentionTiles.h"
#include "compiler/analysis/WarpTiles.h"
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
  int64_t rows = 0, panels = 0;
};

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
    Cut cut = reference ? Cut{arith::ConstantIndexOp::create(builder, op->getLoc(), 1)}
                        : cutOf(op, builder);
    auto phase = lm::PhaseOp::create(builder, op->getLoc(), op->getName().stripDialect(), reference,
                                     cut.tiles, cut.rows, cut.panels);
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
      return {pieces(extent(out, 0), height), height, 0};
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
        .Case([&](moe::DispatchOp) -> Cut { return {constant(1)}; })
        .Case([&](moe::GateOp gate) { return byRows(gate.getTokens(), warps ? 1 : kGateRows); })
        .Case([&](lm::AttentionOp attention) -> Cut {
          auto cache = lm::cacheOf(attention);
          if (warps)
            return {product(extent(attention.getQueries(), 0),
                            extentOf(attention.getQueries(), 1) / cache.getSize())};
          return {product(lm::QueryTileCountOp::create(builder, loc, builder.getIndexType(),
                                                       attention.getBatch()),
                          attentionParts(attention, cache))};
        })
        .Case([&](lm::ChooseKeysOp choice) { return byRows(choice.getOut()); })
        .Case([&](lm::CacheAppendOp append) { return byRows(append.getKeys()); })
        .Case([&](lm::RecordRoutingOp record) { return byRows(record.getExperts()); })
        .Default([&](Operation *other) {
          return byRows(cast<DestinationStyleOpInterface>(other).getDpsInits().front());
        });
  }
};

} // namespace
