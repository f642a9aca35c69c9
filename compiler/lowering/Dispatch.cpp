// Lowers what lies around the experts: the plan of their rows, shared experts, and what comes back
// to the tokens.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/ElementaryFunctions.h"
#include "runtime/core/Step.h"

#include <cstddef>

using namespace mlir;
using namespace moec;

void moec::lowerPickShared(KernelBuilder &kernel, moe::PickSharedOp op, const Tile &tile) {
  RowBuffer experts = rowBuffer(kernel, op.getExperts()),
            weights = rowBuffer(kernel, op.getWeights()),
            allExperts = rowBuffer(kernel, op.getAllExperts()),
            allWeights = rowBuffer(kernel, op.getAllWeights());
  std::optional<RowBuffer> gate;
  if (op.getGate())
    gate = rowBuffer(kernel, op.getGate());
  auto [begin, end] = tile.rowsOf(kernel, allExperts);
  kernel.loop(begin, end, 1, [&](Value row) {
    Value toExperts = allExperts.row(kernel, row), toWeights = allWeights.row(kernel, row);
    Value share = gate ? emitSigmoid(kernel, kernel.load(kernel.f32(), gate->row(kernel, row)))
                       : kernel.number(kernel.f32(), 1);
    for (int64_t slot = 0; slot < allExperts.columns; ++slot) {
      Value at = kernel.integer(slot), weight = share;
      Value id = kernel.integer(static_cast<int64_t>(op.getFirstExpert()) + slot - experts.columns);
      if (slot < experts.columns) {
        id = loadId(kernel, experts.row(kernel, row), at);
        weight =
            kernel.load(kernel.f32(), kernel.address(weights.row(kernel, row), kernel.f32(), at));
      }
      storeId(kernel, id, toExperts, at);
      kernel.store(weight, kernel.address(toWeights, kernel.f32(), at));
    }
  });
}

void moec::lowerDispatch(KernelBuilder &kernel, moe::DispatchOp op, const Tile &) {
  RowBuffer experts = rowBuffer(kernel, op.getExperts()), tiles = rowBuffer(kernel, op.getTiles());
  Value rows = rowBuffer(kernel, op.getRows()).base,
        inverse = rowBuffer(kernel, op.getInverse()).base;
  Value offsets = rowBuffer(kernel, op.getOffsets()).base;
  int64_t numExperts = extentOf(op.getOffsets(), 0) - 1, picked = experts.columns;
  Value zero = kernel.integer(0), one = kernel.integer(1), limit = kernel.integer(numExperts);
  // An id that is no expert would be an address outside the weights.
  auto expertAt = [&](Value token, Value slot) -> Value {
    Value id = loadId(kernel, experts.row(kernel, token), slot);
    return kernel.max(zero, kernel.min(id, kernel.integer(numExperts - 1)));
  };
  auto forPicks = [&](function_ref<void(Value token, Value slot)> body) {
    kernel.loop(zero, experts.rows, 1, [&](Value token) {
      kernel.loop(zero, kernel.integer(picked), 1, [&](Value slot) { body(token, slot); });
    });
  };
  Value next = kernel.scratch((numExperts + 1) * 4); // where each expert's next row goes
  kernel.loop(zero, kernel.integer(numExperts + 1), 1,
              [&](Value expert) { storeId(kernel, zero, offsets, expert); });
  forPicks([&](Value token, Value slot) {
    Value after = kernel.add(expertAt(token, slot), one);
    storeId(kernel, kernel.add(loadId(kernel, offsets, after), one), offsets, after);
  });
  storeId(kernel, zero, next, zero);
  kernel.loop(zero, limit, 1, [&](Value expert) {
    Value after = kernel.add(expert, one);
    Value end = kernel.add(loadId(kernel, offsets, expert), loadId(kernel, offsets, after));
    storeId(kernel, end, offsets, after);
    storeId(kernel, end, next, after);
  });
  forPicks([&](Value token, Value slot) {
    Value expert = expertAt(token, slot);
    Value row = loadId(kernel, next, expert);
    storeId(kernel, kernel.add(row, one), next, expert);
    storeId(kernel, token, rows, row);
    storeId(kernel, row, inverse, kernel.add(kernel.mul(token, kernel.integer(picked)), slot));
  });
  Value height = kernel.integer(op.getTileRows());
  Value count = kernel.loop(
      zero, limit, 1, ValueRange{zero}, [&](Value expert, ValueRange made) -> SmallVector<Value> {
        Value begin = loadId(kernel, offsets, expert),
              end = loadId(kernel, offsets, kernel.add(expert, one));
        Value pieces = kernel.div(
            kernel.add(kernel.sub(end, begin), kernel.integer(op.getTileRows() - 1)), height);
        kernel.loop(zero, pieces, 1, [&](Value piece) {
          Value first = kernel.add(begin, kernel.mul(piece, height));
          Value entry = tiles.row(kernel, kernel.add(kernel.add(made[0], piece), one));
          storeId(kernel, expert, entry, zero);
          storeId(kernel, first, entry, one);
          storeId(kernel, kernel.min(height, kernel.sub(end, first)), entry, kernel.integer(2));
        });
        return {kernel.add(made[0], pieces)};
      })[0];
  Value header = tiles.row(kernel, zero);
  storeId(kernel, count, header, zero);
  storeId(kernel, zero, header, one);
  storeId(kernel, zero, header, kernel.integer(2));
}

Value moec::listedCount(KernelBuilder &kernel, const RowBuffer &tiles) {
  return loadId(kernel, tiles.base, kernel.integer(0));
}

ListedRows moec::listedRows(KernelBuilder &kernel, const RowBuffer &tiles, Value index) {
  Value entry = tiles.row(kernel, kernel.add(index, kernel.integer(1)));
  Value expert = loadId(kernel, entry, kernel.integer(0)),
        first = loadId(kernel, entry, kernel.integer(1)),
        count = loadId(kernel, entry, kernel.integer(2));
  return {expert, first, count};
}

Value moec::emitExpertSum(KernelBuilder &kernel, Value sum, Value share,
                          const std::optional<Matrix> &bias, Value column) {
  if (share)
    sum = kernel.mul(sum, share);
  return bias ? kernel.add(sum, matrixElement(kernel, *bias, column, kernel.integer(0))) : sum;
}

Value moec::emitPickWeight(KernelBuilder &kernel, Value experts, Value weights, Value token,
                           Value expert) {
  RowBuffer ids = rowBuffer(kernel, experts), shares = rowBuffer(kernel, weights);
  Value share = kernel.number(kernel.f32(), 0);
  for (int64_t slot = 0; slot < ids.columns; ++slot) {
    Value at = kernel.integer(slot);
    Value isIt = kernel.compare(arith::CmpIPredicate::eq,
                                loadId(kernel, ids.row(kernel, token), at), expert);
    Value own =
        kernel.load(kernel.f32(), kernel.address(shares.row(kernel, token), kernel.f32(), at));
    share = kernel.select(isIt, own, share);
  }
  return share;
}

void moec::lowerCombine(KernelBuilder &kernel, moe::CombineOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  std::optional<RowBuffer> weights;
  if (op.getWeights())
    weights = rowBuffer(kernel, op.getWeights());
  Value inverse = rowBuffer(kernel, op.getInverse()).base;
  int64_t picked = op.getNumPicked();
  auto [begin, end] = tile.rowsOf(kernel, out);
  kernel.loop(begin, end, 1, [&](Value row) {
    SmallVector<Value> sources, scales;
    for (int64_t slot = 0; slot < picked; ++slot) {
      Value pick = kernel.add(kernel.mul(row, kernel.integer(picked)), kernel.integer(slot));
      sources.push_back(input.row(kernel, loadId(kernel, inverse, pick)));
      Value weight = kernel.number(kernel.f32(), 1);
      if (weights)
        weight = kernel.load(kernel.f32(), kernel.address(weights->row(kernel, row), kernel.f32(),
                                                          kernel.integer(slot)));
      scales.push_back(kernel.broadcast(weight));
    }
    Value to = out.row(kernel, row);
    kernel.forColumns(out.columns, [&](Value column, int64_t lanes) {
      Value sum = kernel.number(kernel.lanes(kernel.f32()), 0);
      for (auto [source, scale] : llvm::zip(sources, scales))
        sum = kernel.fma(scale, loadRow(kernel, input.element, source, column, lanes), sum);
      if (op.getAccumulate())
        sum = kernel.add(loadRow(kernel, out.element, to, column, lanes), sum);
      storeRow(kernel, sum, out.element, to, column, lanes);
    });
  });
}

void moec::lowerRecordRouting(KernelBuilder &kernel, lm::RecordRoutingOp op, const Tile &tile) {
  RowBuffer experts = rowBuffer(kernel, op.getExperts()),
            weights = rowBuffer(kernel, op.getWeights());
  Value ids = batchField(kernel, offsetof(moec_step_arguments, experts), kernel.pointer());
  Value shares =
      batchField(kernel, offsetof(moec_step_arguments, expert_weights), kernel.pointer());
  Value ordinal =
      arith::IndexCastOp::create(kernel.builder, kernel.loc, kernel.i64(), op.getOrdinal());
  Value null = LLVM::ZeroOp::create(kernel.builder, kernel.loc, kernel.pointer());
  Value wanted =
      LLVM::ICmpOp::create(kernel.builder, kernel.loc, LLVM::ICmpPredicate::ne, ids, null);
  auto [begin, end] = tile.rowsOf(kernel, experts);
  kernel.when(wanted, [&, begin = begin, end = end] {
    kernel.loop(begin, end, 1, [&](Value row) {
      Value entry = kernel.add(kernel.mul(ordinal, experts.rows), row);
      Value start = kernel.mul(entry, kernel.integer(op.getPicked()));
      for (int64_t slot = 0; slot < static_cast<int64_t>(op.getPicked()); ++slot) {
        Value at = kernel.integer(slot), to = kernel.add(start, at);
        bool isPick = slot < experts.columns;
        Value id = isPick ? loadId(kernel, experts.row(kernel, row), at) : kernel.integer(-1);
        Value share = isPick ? kernel.load(kernel.f32(), kernel.address(weights.row(kernel, row),
                                                                        kernel.f32(), at))
                             : kernel.number(kernel.f32(), 0);
        storeId(kernel, id, ids, to);
        kernel.store(share, kernel.address(shares, kernel.f32(), to));
      }
    });
  });
}
