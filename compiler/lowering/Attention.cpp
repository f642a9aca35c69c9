// Lowers attention: to the target's kernel, or to plain loops over the positions that a row sees.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/cpu/AttentionKernel.h"
#include "compiler/targets/cpu/ElementaryFunctions.h"
#include "runtime/core/Step.h"

#include <cstddef>

using namespace mlir;
using namespace moec;

void moec::lowerAttention(KernelBuilder &kernel, lm::AttentionOp op, const Tile &tile) {
  RowBuffer queries = rowBuffer(kernel, op.getQueries()), out = rowBuffer(kernel, op.getOut());
  auto cache =
      cacheView(kernel, SymbolTable::lookupNearestSymbolFrom<lm::CacheOp>(op, op.getCacheAttr()),
                op.getLayer());
  const CacheLayout &layout = cache.layout;
  AttentionShape shape{.element = layout.element,
                       .queries = queries.element,
                       .size = layout.size,
                       .group = queries.columns / layout.size / layout.heads,
                       .block = layout.block,
                       .rows = kQueryTile,
                       .window = layout.window,
                       .scale = op.getScale().convertToDouble()};
  // A thread's tiles are those of a few heads, so that each thread has early and late tokens alike.
  Value count = batchField(kernel, offsetof(moec_step_arguments, query_tiles), kernel.i64());
  Value head = kernel.div(tile.index, count),
        entry = kernel.mul(kernel.rem(tile.index, count), kernel.integer(3));
  Value tiles = batchField(kernel, offsetof(moec_step_arguments, tiles), kernel.pointer());
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value first = loadId(kernel, tiles, entry),
        rows = loadId(kernel, tiles, kernel.add(entry, kernel.integer(1)));
  Value sequence = loadId(kernel, tiles, kernel.add(entry, kernel.integer(2)));
  Value start = kernel.mul(head, kernel.integer(shape.group * shape.size));
  auto block = [&](Value number) -> AttentionBlock {
    Value keys =
        cacheHead(kernel, cache, sequence, kernel.mul(number, kernel.integer(layout.block)), head);
    return {keys, kernel.address(keys, layout.keyBytes())};
  };
  emitAttention(kernel, shape,
                {.queries = kernel.address(queries.row(kernel, first), queries.element, start),
                 .queryStride = queries.stride,
                 .out = kernel.address(out.row(kernel, first), out.element, start),
                 .outElement = out.element,
                 .outStride = out.stride,
                 .rows = rows,
                 .position = loadId(kernel, positions, first),
                 .scratch = kernel.scratch(attentionScratchBytes(shape)),
                 .block = block});
}

static void forEach(KernelBuilder &kernel, int64_t count, function_ref<void(Value)> body) {
  kernel.loop(kernel.integer(0), kernel.integer(count), 1, body);
}

void moec::lowerAttentionPlainly(KernelBuilder &kernel, lm::AttentionOp op) {
  RowBuffer queries = rowBuffer(kernel, op.getQueries()), out = rowBuffer(kernel, op.getOut());
  auto cache =
      cacheView(kernel, SymbolTable::lookupNearestSymbolFrom<lm::CacheOp>(op, op.getCacheAttr()),
                op.getLayer());
  const CacheLayout &layout = cache.layout;
  int64_t heads = queries.columns / layout.size, group = heads / layout.heads;
  Type f32 = kernel.f32();
  Value zero = kernel.integer(0), one = kernel.integer(1),
        scale = kernel.number(f32, op.getScale().convertToFloat());
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value sequences =
      batchField(kernel, offsetof(moec_step_arguments, row_sequences), kernel.pointer());
  Value sums = kernel.scratch(layout.size * 4);
  kernel.loop(zero, out.rows, 1, [&](Value row) {
    Value position = loadId(kernel, positions, row), sequence = loadId(kernel, sequences, row);
    Value end = kernel.add(position, one), begin = zero;
    if (layout.window > 0)
      begin = kernel.max(zero, kernel.sub(end, kernel.integer(layout.window)));
    forEach(kernel, heads, [&](Value head) {
      Value start = kernel.mul(head, kernel.integer(layout.size)),
            keyHead = kernel.div(head, kernel.integer(group));
      Value query = kernel.address(queries.row(kernel, row), queries.element, start);
      auto score = [&](Value place, Value slot) -> Value {
        Value sum = kernel.loop(
            zero, kernel.integer(layout.size), 1, ValueRange{kernel.number(f32, 0)},
            [&](Value i, ValueRange now) -> SmallVector<Value> {
              Value q = kernel.widen(
                  kernel.load(queries.element, kernel.address(query, queries.element, i)));
              Value k = kernel.widen(kernel.load(
                  layout.element, kernel.addressBytes(place, keyOffset(kernel, layout, slot, i))));
              return {kernel.fma(q, k, now[0])};
            })[0];
        return kernel.mul(sum, scale);
      };
      auto place = [&](Value at) { return cacheHead(kernel, cache, sequence, at, keyHead); };
      auto slotOf = [&](Value at) { return kernel.rem(at, kernel.integer(layout.block)); };
      Value peak = kernel.loop(begin, end, 1,
                               ValueRange{kernel.number(f32, -std::numeric_limits<float>::max())},
                               [&](Value at, ValueRange now) -> SmallVector<Value> {
                                 return {kernel.max(now[0], score(place(at), slotOf(at)))};
                               })[0];
      forEach(kernel, layout.size,
              [&](Value i) { kernel.store(kernel.number(f32, 0), kernel.address(sums, f32, i)); });
      Value total =
          kernel.loop(begin, end, 1, ValueRange{kernel.number(f32, 0)},
                      [&](Value at, ValueRange now) -> SmallVector<Value> {
                        Value block = place(at), slot = slotOf(at);
                        Value p = emitExp(kernel, kernel.sub(score(block, slot), peak));
                        Value rounded = kernel.widen(kernel.round(layout.element, p));
                        forEach(kernel, layout.size, [&](Value i) {
                          Value v = kernel.widen(kernel.load(
                              layout.element,
                              kernel.addressBytes(block, valueOffset(kernel, layout, slot, i))));
                          Value to = kernel.address(sums, f32, i);
                          kernel.store(kernel.fma(rounded, v, kernel.load(f32, to)), to);
                        });
                        return {kernel.add(now[0], p)};
                      })[0];
      Value result = kernel.address(out.row(kernel, row), out.element, start);
      forEach(kernel, layout.size, [&](Value i) {
        Value value = kernel.div(kernel.load(f32, kernel.address(sums, f32, i)), total);
        kernel.store(kernel.round(out.element, value), kernel.address(result, out.element, i));
      });
    });
  });
}
