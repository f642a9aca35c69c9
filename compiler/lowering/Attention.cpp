// Lowers attention, and the choice of its keys, to the target's kernels.

#include "compiler/analysis/AttentionTiles.h"
#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/ChosenKeys.h"
#include "compiler/targets/cpu/AttentionKernel.h"
#include "compiler/targets/cpu/GatheredKeys.h"
#include "compiler/targets/cpu/IndexKernel.h"
#include "runtime/core/Step.h"

#include <cstddef>

using namespace mlir;
using namespace moec;

namespace {

/// Attention lowered to the kernel, for one tile of a phase.
class TileAttention {
public:
  TileAttention(CpuKernelBuilder &kernel, lm::AttentionOp op, const Tile &tile)
      : kernel(kernel), op(op), queries(rowBuffer(kernel, op.getQueries())),
        out(rowBuffer(kernel, op.getOut())), sinks(vectorOf(kernel, op.getSinks())),
        cache(cacheView(kernel, lm::cacheOf(op), op.getLayer())), layout(cache.layout),
        group(queries.columns / layout.size / layout.heads),
        shape{.element = layout.element,
              .queries = queries.element,
              .size = layout.size,
              .values = layout.values,
              .latent = layout.latent,
              .group = headsPerTile(group),
              .block = layout.block,
              .rows = tokensPerTile(headsPerTile(group)),
              .window = layout.window,
              .chunk = layout.chunk,
              .scale = op.getScale().convertToDouble()} {
    // A thread's tiles are those of a few heads, so that each thread has early and late tokens
    // alike.
    Value count = batchField(kernel, offsetof(moec_step_arguments, query_tiles), kernel.i64());
    Value part = kernel.div(tile.index, count),
          entry = kernel.mul(kernel.rem(tile.index, count), kernel.integer(3));
    head = kernel.div(part, kernel.integer(group / shape.group));
    firstHead = kernel.mul(part, kernel.integer(shape.group));
    Value tiles = batchField(kernel, offsetof(moec_step_arguments, tiles), kernel.pointer());
    first = loadId(kernel, tiles, entry);
    rows = loadId(kernel, tiles, kernel.add(entry, kernel.integer(1)));
    sequence = loadId(kernel, tiles, kernel.add(entry, kernel.integer(2)));
  }

  void emitAll();
  void emitChosen();

private:
  /// The tile's first head in a row of a buffer that has heads of `size`.
  Value headOf(const RowBuffer &buffer, Value row, int64_t size) {
    return kernel.address(buffer.row(kernel, row), buffer.element,
                          kernel.mul(firstHead, kernel.integer(size)));
  }
  void emit(Value row, Value count, Value position,
            function_ref<AttentionBlock(Value number)> block);
  AttentionBlock gather(const ChosenKeys &chosen, Value count, Value number);

  CpuKernelBuilder &kernel;
  lm::AttentionOp op;
  const RowBuffer queries, out;
  const std::optional<Matrix> sinks;
  const CacheView cache;
  const CacheLayout &layout;
  const int64_t group;
  AttentionShape shape;
  Value head, firstHead, first, rows, sequence;
};

} // namespace

/// Attends for `count` rows from `row` on, the first at `position`.
void TileAttention::emit(Value row, Value count, Value position,
                         function_ref<AttentionBlock(Value number)> block) {
  emitAttention(kernel, shape,
                {.queries = headOf(queries, row, layout.size),
                 .queryStride = queries.stride,
                 .sinks = sinks ? kernel.address(sinks->base, sinks->element, firstHead) : Value(),
                 .sinkElement = sinks ? sinks->element : Type(),
                 .out = headOf(out, row, layout.values),
                 .outElement = out.element,
                 .outStride = out.stride,
                 .rows = count,
                 .position = position,
                 .scratch = kernel.scratch(attentionScratchBytes(shape)),
                 .gathers = bool(op.getChosen()),
                 .block = block});
}

void TileAttention::emitAll() {
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  auto block = [&](Value number) -> AttentionBlock {
    Value keys =
        cacheHead(kernel, cache, sequence, kernel.mul(number, kernel.integer(layout.block)), head);
    return {keys, kernel.address(keys, layout.keyBytes())};
  };
  kernel.loop(kernel.integer(0), rows, shape.rows, [&](Value done) {
    Value row = kernel.add(first, done);
    emit(row, kernel.min(kernel.sub(rows, done), kernel.integer(shape.rows)),
         loadId(kernel, positions, row), block);
  });
}

/// Block `number` of the `count` chosen positions, made one.
AttentionBlock TileAttention::gather(const ChosenKeys &chosen, Value count, Value number) {
  const int64_t panelBytes = layout.size * kLanes * 4;
  Value keys = kernel.scratch(layout.block / kLanes * panelBytes),
        values = kernel.scratch(layout.valueWidth * layout.block * 4);
  Value begin = kernel.mul(number, kernel.integer(layout.block)),
        last = kernel.sub(count, kernel.integer(1));
  Value end = kernel.min(kernel.sub(count, begin), kernel.integer(layout.block));
  kernel.loop(kernel.integer(0), end, kLanes, [&](Value key) {
    SmallVector<Value> keyRows, valueRows;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      // Behind the last one, that again: nobody looks there.
      Value place = kernel.add(kernel.add(begin, key), kernel.integer(lane));
      Value position = chosen.position(kernel, kernel.min(place, last));
      Value at = cacheHead(kernel, cache, sequence, position, head);
      Value slot = kernel.rem(position, kernel.integer(layout.block)), zero = kernel.integer(0);
      keyRows.push_back(kernel.addressBytes(at, keyOffset(kernel, layout, slot, zero)));
      valueRows.push_back(kernel.addressBytes(at, valueOffset(kernel, layout, slot, zero)));
    }
    Value panel = kernel.addressBytes(
        keys, kernel.mul(kernel.div(key, kernel.integer(kLanes)), kernel.integer(panelBytes)));
    Value rowsOfValues = kernel.address(values, kernel.lanes(kernel.f32()), key);
    const int64_t both = layout.latent ? std::min(layout.valueWidth, layout.size) : 0;
    if (both > 0)
      emitGatheredColumns(kernel, layout.element, keyRows, 0, both, panel, rowsOfValues,
                          layout.block);
    else
      emitGatheredColumns(kernel, layout.element, valueRows, 0, layout.values, Value(),
                          rowsOfValues, layout.block);
    emitGatheredColumns(kernel, layout.element, keyRows, both, layout.size, panel, Value(),
                        layout.block);
  });
  return {keys, values};
}

/// A token at a time: each chose for itself. What it chose is to the kernel a short sequence.
void TileAttention::emitChosen() {
  RowBuffer lists = rowBuffer(kernel, op.getChosen());
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  shape.element = kernel.f32();
  shape.latent = false;
  shape.rows = 1;
  kernel.loop(first, kernel.add(first, rows), 1, [&](Value row) {
    const ChosenKeys chosen{lists.row(kernel, row), lists.columns - 1,
                            loadId(kernel, positions, row)};
    Value count = chosen.count(kernel), one = kernel.integer(1);
    emit(row, one, kernel.sub(count, one),
         [&](Value number) { return gather(chosen, count, number); });
  });
}

void moec::lowerAttention(CpuKernelBuilder &kernel, lm::AttentionOp op, const Tile &tile) {
  TileAttention attention(kernel, op, tile);
  if (op.getChosen())
    attention.emitChosen();
  else
    attention.emitAll();
}

void moec::lowerChooseKeys(CpuKernelBuilder &kernel, lm::ChooseKeysOp op, const Tile &tile) {
  RowBuffer queries = rowBuffer(kernel, op.getQueries()),
            weights = rowBuffer(kernel, op.getWeights()), out = rowBuffer(kernel, op.getOut());
  auto cache = cacheView(kernel, lm::cacheOf(op), op.getLayer());
  const IndexShape shape{.element = cache.layout.element,
                         .heads = weights.columns,
                         .size = cache.layout.size,
                         .block = cache.layout.block,
                         .context = static_cast<int64_t>(op.getContext()),
                         .chosen = out.columns - 1,
                         .scale = op.getScale().convertToDouble()};
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value sequences =
      batchField(kernel, offsetof(moec_step_arguments, row_sequences), kernel.pointer());
  auto [begin, end] = tile.rowsOf(kernel, out);
  kernel.loop(begin, end, 1, [&](Value row) {
    Value sequence = loadId(kernel, sequences, row);
    emitChooseKeys(kernel, shape,
                   {.queries = queries.row(kernel, row),
                    .weights = weights.row(kernel, row),
                    .position = loadId(kernel, positions, row),
                    .out = out.row(kernel, row),
                    .scratch = kernel.scratch(indexScratchBytes(shape)),
                    .block = [&](Value number) {
                      return cacheHead(kernel, cache, sequence,
                                       kernel.mul(number, kernel.integer(shape.block)),
                                       kernel.integer(0));
                    }});
  });
}
