// Implements lm-merge-phases.

#include "compiler/transforms/Passes.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/StringExtras.h"

namespace moec {
#define GEN_PASS_DEF_MERGEPHASES
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

/// How many rows the tiles of a phase are blocks of; null for a phase that is cut otherwise.
Value rowCount(lm::PhaseOp phase) {
  if (phase.getRows() == 0 || phase.getPanels() != 0)
    return {};
  if (phase.getRows() == 1)
    return phase.getTiles();
  auto blocks = phase.getTiles().getDefiningOp<arith::CeilDivUIOp>();
  bool isKnown = blocks && getConstantIntValue(blocks.getRhs()) == phase.getRows();
  return isKnown ? blocks.getLhs() : Value();
}

/// The buffer that memory lies in, and whether row t of what is accessed is in row t of the buffer.
struct Rows {
  Value buffer;
  bool areItsOwn = true;
};

Rows rowsOf(Value accessed) {
  Rows rows{accessed};
  while (Operation *op = rows.buffer.getDefiningOp()) {
    auto view = dyn_cast<ViewLikeOpInterface>(op);
    if (!view)
      break;
    auto columns = dyn_cast<memref::SubViewOp>(op);
    bool cutsColumns = columns && columns.getDroppedDims().none() &&
                       isZeroInteger(columns.getMixedOffsets().front()) &&
                       isOneInteger(columns.getMixedStrides().front());
    rows.areItsOwn &= cutsColumns || isa<memref::CastOp>(op);
    rows.buffer = view.getViewSource();
  }
  return rows;
}

/// Whether nothing else names the buffer's memory: it is allocated, or the caller's.
bool isSoleName(Value buffer) {
  if (auto argument = dyn_cast<BlockArgument>(buffer))
    return isa<FunctionOpInterface>(argument.getOwner()->getParentOp());
  return isa<memref::AllocOp>(buffer.getDefiningOp()) ||
         isa_and_nonnull<lm::LmDialect>(buffer.getDefiningOp()->getDialect());
}

using Effect = MemoryEffects::EffectInstance;

/// Whether the two accesses, by row-wise ops, only ever meet in rows of the same number.
bool meetInOwnRows(const Effect &first, const Effect &second) {
  if (!isa<MemoryEffects::Write>(first.getEffect()) &&
      !isa<MemoryEffects::Write>(second.getEffect()))
    return true;
  auto *left = first.getEffectValue<OpOperand *>(), *right = second.getEffectValue<OpOperand *>();
  if (!left || !right)
    return first.getResource() != second.getResource();
  Rows leftRows = rowsOf(left->get()), rightRows = rowsOf(right->get());
  if (!isSoleName(leftRows.buffer) || !isSoleName(rightRows.buffer))
    return false;
  auto readsOwn = [](OpOperand &operand) {
    return !cast<RowWiseOpInterface>(operand.getOwner()).readsWhole(operand);
  };
  return leftRows.buffer != rightRows.buffer ||
         (leftRows.areItsOwn && rightRows.areItsOwn && readsOwn(*left) && readsOwn(*right));
}

/// Whether a tile of `second` needs nothing that another tile of `first` does, and the reverse.
bool areRowLocal(Operation &first, Operation &second) {
  if (!isa<RowWiseOpInterface>(first) || !isa<RowWiseOpInterface>(second))
    return false;
  std::optional<SmallVector<Effect>> before = getEffectsRecursively(&first),
                                     after = getEffectsRecursively(&second);
  return before && after && llvm::all_of(*before, [&](const Effect &a) {
           return llvm::all_of(*after, [&](const Effect &b) { return meetInOwnRows(a, b); });
         });
}

struct MergePhases final : moec::impl::MergePhasesBase<MergePhases> {
  void runOnOperation() override {
    getOperation().walk([&](Block *block) { mergeIn(*block); });
  }

private:
  void mergeIn(Block &block) {
    lm::PhaseOp last; // nothing between it and the op at hand touches memory
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (auto phase = dyn_cast<lm::PhaseOp>(op)) {
        if (last && canMerge(last, phase))
          merge(last, phase);
        last = phase;
      } else if (!isMemoryEffectFree(&op) && !hasSingleEffect<MemoryEffects::Allocate>(&op)) {
        last = {};
      }
    }
  }

  static bool canMerge(lm::PhaseOp first, lm::PhaseOp second) {
    Value firstCount = rowCount(first), secondCount = rowCount(second);
    if (!firstCount || !secondCount || !isEqualConstantIntOrValue(firstCount, secondCount) ||
        first.getWarps() != second.getWarps())
      return false;
    return llvm::all_of(first.getBody().front(), [&](Operation &a) {
      return llvm::all_of(second.getBody().front(),
                          [&](Operation &b) { return areRowLocal(a, b); });
    });
  }

  /// The work of `first` goes in front of that of `second`, in blocks of the taller's height.
  void merge(lm::PhaseOp first, lm::PhaseOp second) {
    if (first.getRows() > second.getRows()) {
      second.setRows(first.getRows());
      second.getTilesMutable().assign(first.getTiles());
    }
    Block &work = first.getBody().front(), &body = second.getBody().front();
    work.getArgument(0).replaceAllUsesWith(second.getTile());
    body.getOperations().splice(body.begin(), work.getOperations());
    SmallVector<StringRef> names;
    for (Operation &op : body)
      if (StringRef name = op.getName().stripDialect(); !llvm::is_contained(names, name))
        names.push_back(name);
    second.setName(llvm::join(names, "_"));
    second->setLoc(FusedLoc::get(&getContext(), {first.getLoc(), second.getLoc()}));
    first.erase();
    ++numMerged;
  }
};

} // namespace
