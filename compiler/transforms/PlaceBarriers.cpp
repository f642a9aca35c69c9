// Implements lm-place-barriers.

#include "compiler/transforms/Passes.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

namespace moec {
#define GEN_PASS_DEF_PLACEBARRIERS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

/// What an access touches: a slot of the arena, by the value that says where it begins; another
/// buffer; or a resource.
using Place = const void *;

struct Accesses {
  llvm::SmallDenseSet<Place, 16> read, written;
  bool anything = false; ///< may read and write wherever it likes

  bool empty() const { return read.empty() && written.empty() && !anything; }
  void clear() { *this = {}; }
  void add(const Accesses &other) {
    anything |= other.anything;
    read.insert(other.read.begin(), other.read.end());
    written.insert(other.written.begin(), other.written.end());
  }
  /// Whether the order of `later` and of these matters.
  bool conflicts(const Accesses &later) const {
    if (anything || later.anything)
      return !empty() && !later.empty();
    auto meets = [](const auto &a, const auto &b) {
      return llvm::any_of(a, [&](Place place) { return b.contains(place); });
    };
    return meets(later.read, written) || meets(later.written, written) ||
           meets(later.written, read);
  }
};

bool isOfArena(memref::ViewOp view) { return view.getSource().getDefiningOp<lm::ArenaOp>(); }

/// The place that a buffer lies in: buffers of the arena that share a slot share its offset.
Place placeOf(Value buffer) {
  while (Operation *op = buffer.getDefiningOp()) {
    if (auto view = dyn_cast<memref::ViewOp>(op); view && isOfArena(view))
      return view.getByteShift().getAsOpaquePointer();
    auto view = dyn_cast<ViewLikeOpInterface>(op);
    if (!view)
      break;
    buffer = view.getViewSource();
  }
  return buffer.getAsOpaquePointer();
}

/// Whether a buffer may be one or another, as a loop or branch has it.
bool isOfLoop(Value buffer) {
  while (auto view = buffer.getDefiningOp<ViewLikeOpInterface>())
    buffer = view.getViewSource();
  if (auto argument = dyn_cast<BlockArgument>(buffer))
    return !isa<FunctionOpInterface>(argument.getOwner()->getParentOp());
  return isa<RegionBranchOpInterface, arith::SelectOp>(buffer.getDefiningOp());
}

struct PlaceBarriers final : moec::impl::PlaceBarriersBase<PlaceBarriers> {
  using PlaceBarriersBase::PlaceBarriersBase;

  void runOnOperation() override {
    func::FuncOp step = getOperation();
    auto isPhase = [](lm::PhaseOp) { return WalkResult::interrupt(); };
    if (step.isExternal() || !step.walk(isPhase).wasInterrupted())
      return;
    if (!step.getBody().hasOneBlock()) {
      step.emitOpError("has several blocks, between which no barriers are placed");
      return signalPassFailure();
    }
    Accesses pending;
    placeIn(step.getBody().front(), pending);
    flush(step.getBody().front().getTerminator(), pending);
  }

private:
  void flush(Operation *before, Accesses &pending) {
    if (pending.empty())
      return;
    OpBuilder builder(before);
    lm::BarrierOp::create(builder, before->getLoc());
    ++numBarriers;
    pending.clear();
  }

  void placeIn(Block &block, Accesses &pending) {
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (isa<LoopLikeOpInterface>(op)) {
        // Nothing outstanding at either end, so that no iteration needs to know of the one before.
        flush(&op, pending);
        for (Region &region : op.getRegions())
          for (Block &body : region) {
            placeIn(body, pending);
            flush(body.getTerminator(), pending);
          }
      } else if (op.getNumRegions() > 0 && !isa<lm::PhaseOp>(op)) {
        Accesses before = pending;
        for (Region &region : op.getRegions())
          for (Block &body : region) {
            Accesses branch = before;
            placeIn(body, branch);
            pending.add(branch);
          }
      } else {
        Accesses accesses = accessesOf(op);
        if (pending.conflicts(accesses))
          flush(&op, pending);
        pending.add(accesses);
      }
    }
  }

  static Accesses accessesOf(Operation &op) {
    Accesses accesses;
    // Op by op: those of linalg tell of their operands alone, and not of what their bodies read.
    op.walk([&](Operation *inner) {
      if (auto effects = dyn_cast<MemoryEffectOpInterface>(inner))
        add(effects, accesses);
      else if (!inner->hasTrait<OpTrait::HasRecursiveMemoryEffects>())
        accesses.anything = true;
    });
    return accesses;
  }

  static void add(MemoryEffectOpInterface op, Accesses &accesses) {
    SmallVector<MemoryEffects::EffectInstance> effects;
    op.getEffects(effects);
    for (const MemoryEffects::EffectInstance &effect : effects) {
      if (effect.getValue() && isOfLoop(effect.getValue()))
        accesses.anything = true;
      Place place =
          effect.getValue() ? placeOf(effect.getValue()) : static_cast<Place>(effect.getResource());
      if (isa<MemoryEffects::Read>(effect.getEffect()))
        accesses.read.insert(place);
      else if (isa<MemoryEffects::Write>(effect.getEffect()))
        accesses.written.insert(place);
    }
  }
};

} // namespace
