// Implements lm-plan-memory.

#include "compiler/transforms/Passes.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"

namespace moec {
#define GEN_PASS_DEF_PLANMEMORY
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

/// Buffers start on whole cache lines, two of which x86 fetches together.
constexpr int64_t kSlotAlignment = 128;
/// More than any machine has; sums of some thousands of them still fit.
constexpr int64_t kMostBytes = int64_t(1) << 50;

/// An allocation and when it is alive, in positions of the walk.
struct Buffer {
  memref::AllocOp alloc;
  int64_t begin, end;
};

/// Buffers that are never alive together.
struct Slot {
  SmallVector<Buffer> buffers;

  bool isFree(const Buffer &buffer) const {
    return llvm::all_of(buffers, [&](const Buffer &other) {
      return buffer.begin > other.end || buffer.end < other.begin;
    });
  }
};

/// Numbers the ops of the function: each op begins after, and ends before, what encloses it.
class Positions {
public:
  explicit Positions(Operation *root) { number(root); }
  int64_t begin(Operation *op) const { return spans.lookup(op).first; }
  int64_t end(Operation *op) const { return spans.lookup(op).second; }

private:
  void number(Operation *op) {
    int64_t begin = next++;
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Operation &child : block)
          number(&child);
    spans[op] = {begin, next++};
  }

  llvm::DenseMap<Operation *, std::pair<int64_t, int64_t>> spans;
  int64_t next = 0;
};

struct PlanMemory final : moec::impl::PlanMemoryBase<PlanMemory> {
  void runOnOperation() override {
    func::FuncOp step = findStep(getOperation());
    if (!step || step.isExternal())
      return;
    SmallVector<Slot> slots = assignSlots(step);
    const bool isGraph = step.getName() == kGraphName;
    // A program has the one as well, whoever asks for it.
    if (failed(emitSize(step, isGraph ? ArrayRef<Slot>() : slots)) ||
        (isGraph && failed(emitGraphSizes(step, slots))) || failed(placeBuffers(step, slots)))
      signalPassFailure();
  }

private:
  SmallVector<Slot> assignSlots(func::FuncOp step) {
    Positions positions(step);
    BufferViewFlowAnalysis aliases(step);
    SmallVector<Slot> slots;
    step.walk<WalkOrder::PreOrder>([&](memref::AllocOp alloc) {
      Buffer buffer = lifetimeOf(alloc, positions, aliases);
      Slot *slot = nullptr;
      for (Slot &candidate : slots) {
        if (!candidate.isFree(buffer))
          continue;
        bool sameSize = candidate.buffers.front().alloc.getType() == alloc.getType();
        if (!slot || sameSize)
          slot = &candidate;
        if (sameSize)
          break;
      }
      (slot ? *slot : slots.emplace_back()).buffers.push_back(buffer);
      ++numBuffers;
    });
    numSlots += slots.size();
    return slots;
  }

  /// From the allocation to its last use, or to the end of whatever repeats that use.
  static Buffer lifetimeOf(memref::AllocOp alloc, const Positions &positions,
                           BufferViewFlowAnalysis &aliases) {
    Buffer buffer{alloc, positions.begin(alloc), positions.end(alloc)};
    for (Value alias : aliases.resolve(alloc.getMemref()))
      for (Operation *user : alias.getUsers()) {
        // The ops of one block that enclose the allocation and the use.
        Operation *owner = alloc, *use = nullptr;
        while (owner && !(use = owner->getBlock()->findAncestorOpInBlock(*user)))
          owner = owner->getParentOp();
        buffer.begin = std::min(buffer.begin, positions.begin(owner));
        buffer.end = std::max(buffer.end, positions.end(use));
      }
    return buffer;
  }

  /// Bytes of a buffer, whose counts are cloned to the insertion point.
  FailureOr<Value> bytesOf(memref::AllocOp alloc, OpBuilder &builder, IRMapping &mapping) const {
    Location loc = alloc.getLoc();
    int64_t elements = 1;
    MemRefType type = alloc.getType();
    for (int64_t extent : type.getShape())
      if (ShapedType::isStatic(extent))
        elements *= extent;
    const int64_t elementBytes = (type.getElementTypeBitWidth() + 7) / 8; // a boolean has one
    Value bytes = arith::ConstantIndexOp::create(builder, loc, elements * elementBytes);
    for (Value size : alloc.getDynamicSizes()) {
      if (failed(cloneCount(alloc, size, builder, mapping)))
        return failure();
      bytes = product(builder, loc, bytes, mapping.lookupOrDefault(size));
    }
    return bytes;
  }

  /// The product of two sizes. In the function that tells how much memory a graph takes, whose
  /// dimensions nothing bounds, it is kMostBytes where it is larger.
  Value product(OpBuilder &builder, Location loc, Value a, Value b) const {
    if (!saturates)
      return arith::MulIOp::create(builder, loc, a, b);
    auto wide = arith::MulUIExtendedOp::create(builder, loc, a, b);
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    Value most = arith::ConstantIndexOp::create(builder, loc, kMostBytes);
    Value fits =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, wide.getHigh(), zero);
    Value low = arith::MinUIOp::create(builder, loc, wide.getLow(), most);
    return arith::SelectOp::create(builder, loc, fits, low, most);
  }

  static LogicalResult cloneCount(Operation *alloc, Value size, OpBuilder &builder,
                                  IRMapping &mapping) {
    if (mapping.contains(size))
      return success();
    Operation *op = size.getDefiningOp();
    if (!op || !isPure(op) || op->getNumRegions() > 0)
      return alloc->emitError("has a size that does not follow from the counts of the batch");
    for (Value operand : op->getOperands())
      if (failed(cloneCount(alloc, operand, builder, mapping)))
        return failure();
    builder.clone(*op, mapping);
    return success();
  }

  FailureOr<Value> slotBytes(const Slot &slot, OpBuilder &builder, IRMapping &mapping) const {
    memref::AllocOp first = slot.buffers.front().alloc;
    Location loc = first.getLoc();
    Value largest;
    for (const Buffer &buffer : slot.buffers) {
      FailureOr<Value> bytes = bytesOf(buffer.alloc, builder, mapping);
      if (failed(bytes))
        return failure();
      largest = largest ? arith::MaxUIOp::create(builder, loc, largest, *bytes) : *bytes;
    }
    Value alignment = arith::ConstantIndexOp::create(builder, loc, kSlotAlignment);
    Value lines = arith::CeilDivUIOp::create(builder, loc, largest, alignment);
    return arith::MulIOp::create(builder, loc, lines, alignment).getResult();
  }

  FailureOr<Value> arenaBytes(func::FuncOp step, ArrayRef<Slot> slots, OpBuilder &builder,
                              IRMapping &mapping) const {
    Location loc = step.getLoc();
    Value total = arith::ConstantIndexOp::create(builder, loc, 0);
    for (const Slot &slot : slots) {
      FailureOr<Value> bytes = slotBytes(slot, builder, mapping);
      if (failed(bytes))
        return failure();
      total = arith::AddIOp::create(builder, loc, total, *bytes);
    }
    return arith::IndexCastOp::create(builder, loc, builder.getI64Type(), total).getResult();
  }

  /// moec_program_graph_sizes(batch).
  LogicalResult emitGraphSizes(func::FuncOp graph, ArrayRef<Slot> slots) {
    Location loc = graph.getLoc();
    OpBuilder builder(graph);
    Value batch = graph.getArgument(0);
    auto sizes =
        func::FuncOp::create(builder, loc, "moec_program_graph_sizes",
                             builder.getFunctionType(batch.getType(), builder.getI64Type()));
    builder.setInsertionPointToStart(sizes.addEntryBlock());
    IRMapping mapping;
    mapping.map(batch, sizes.getArgument(0));
    saturates = true;
    FailureOr<Value> total = arenaBytes(graph, slots, builder, mapping);
    saturates = false;
    if (failed(total))
      return failure();
    WalkResult result = graph.walk([&](lm::GraphOutputOp output) {
      auto type = cast<MemRefType>(output.getValue().getType());
      for (int64_t dimension = 0; dimension < type.getRank(); ++dimension) {
        Value size;
        if (type.isDynamicDim(dimension)) {
          size = output.sizeOf(dimension);
          if (failed(cloneCount(output, size, builder, mapping)))
            return WalkResult::interrupt();
        } else {
          size =
              arith::ConstantIndexOp::create(builder, output.getLoc(), type.getDimSize(dimension));
        }
        lm::SetOutputSizeOp::create(builder, output.getLoc(), sizes.getArgument(0),
                                    output.getNameAttr(), builder.getI64IntegerAttr(dimension),
                                    mapping.lookupOrDefault(size));
      }
      return WalkResult::advance();
    });
    func::ReturnOp::create(builder, loc, *total);
    return failure(result.wasInterrupted());
  }

  /// moec_program_arena_bytes(tokens, sequences, outputs, threads).
  LogicalResult emitSize(func::FuncOp step, ArrayRef<Slot> slots) {
    Location loc = step.getLoc();
    OpBuilder builder(step);
    Type i64 = builder.getI64Type();
    auto size = func::FuncOp::create(builder, loc, "moec_program_arena_bytes",
                                     builder.getFunctionType({i64, i64, i64, i64}, i64));
    builder.setInsertionPointToStart(size.addEntryBlock());
    IRMapping mapping;
    auto count = [&](unsigned argument) -> Value {
      return arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                        size.getArgument(argument));
    };
    Value tokens = count(0), outputs = count(2);
    step.walk([&](lm::TokenCountOp op) { mapping.map(op.getCount(), tokens); });
    step.walk([&](lm::OutputCountOp op) { mapping.map(op.getCount(), outputs); });
    FailureOr<Value> total = arenaBytes(step, slots, builder, mapping);
    if (failed(total))
      return failure();
    func::ReturnOp::create(builder, loc, *total);
    return success();
  }

  LogicalResult placeBuffers(func::FuncOp step, ArrayRef<Slot> slots) {
    Location loc = step.getLoc();
    OpBuilder builder(&step.getBody().front(), step.getBody().front().begin());
    IRMapping mapping;
    mapping.map(step.getArgument(0), step.getArgument(0));
    auto arenaType = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type());
    Value arena = lm::ArenaOp::create(builder, loc, arenaType, step.getArgument(0));
    SmallVector<Value> offsets{arith::ConstantIndexOp::create(builder, loc, 0)};
    for (const Slot &slot : slots) {
      FailureOr<Value> bytes = slotBytes(slot, builder, mapping);
      if (failed(bytes))
        return failure();
      offsets.push_back(arith::AddIOp::create(builder, loc, offsets.back(), *bytes));
    }
    for (auto [slot, offset] : llvm::zip(slots, offsets))
      for (const Buffer &buffer : slot.buffers) {
        memref::AllocOp alloc = buffer.alloc;
        OpBuilder here(alloc);
        Value view = memref::ViewOp::create(here, alloc.getLoc(), alloc.getType(), arena, offset,
                                            alloc.getDynamicSizes());
        alloc.replaceAllUsesWith(view);
        alloc.erase();
      }
    return success();
  }

  bool saturates = false;
};

} // namespace
