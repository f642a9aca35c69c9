// Lowers attention: to the target's kernel, or to plain loops over the positions that a row sees.

#include "compiler/analysis/AttentionTiles.h"
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
  std::optional<Matrix> sinks = vectorOf(kernel, op.getSinks());
  const int64_t group = queries.columns / layout.size / layout.heads, heads = attentionHeads(group);
  AttentionShape shape{.element = layout.element,
                       .queries = queries.element,
                       .size = layout.size,
                       .values = layout.values,
                       .latent = layout.latent,
                       .group = heads,
                       .block = layout.block,
                       .rows = attentionTokens(heads),
                       .window = layout.window,
                       .chunk = layout.chunk,
                       .scale = op.getScale().convertToDouble()};
  // A thread's tiles are those of a few heads, so that each thread has early and late tokens alike.
  Value count = batchField(kernel, offsetof(moec_step_arguments, query_tiles), kernel.i64());
  Value part = kernel.div(tile.index, count),
        head = kernel.div(part, kernel.integer(group / heads)),
        entry = kernel.mul(kernel.rem(tile.index, count), kernel.integer(3));
  Value tiles = batchField(kernel, offsetof(moec_step_arguments, tiles), kernel.pointer());
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value first = loadId(kernel, tiles, entry),
        rows = loadId(kernel, tiles, kernel.add(entry, kernel.integer(1)));
  Value sequence = loadId(kernel, tiles, kernel.add(entry, kernel.integer(2)));
  Value firstHead = kernel.mul(part, kernel.integer(heads));
  auto block = [&](Value number) -> AttentionBlock {
    Value keys =
        cacheHead(kernel, cache, sequence, kernel.mul(number, kernel.integer(layout.block)), head);
    return {keys, kernel.address(keys, layout.keyBytes())};
  };
  auto headOf = [&](const RowBuffer &buffer, Value row, int64_t size) {
    return kernel.address(buffer.row(kernel, row), buffer.element,
                          kernel.mul(firstHead, kernel.integer(size)));
  };
  Value scratch = kernel.scratch(attentionScratchBytes(shape));
  kernel.loop(kernel.integer(0), rows, shape.rows, [&](Value done) {
    Value row = kernel.add(first, done);
    emitAttention(
        kernel, shape,
        {.queries = headOf(queries, row, layout.size),
         .queryStride = queries.stride,
         .sinks = sinks ? kernel.address(sinks->base, sinks->element, firstHead) : Value(),
         .out = headOf(out, row, layout.values),
         .outElement = out.element,
         .outStride = out.stride,
         .rows = kernel.min(kernel.sub(rows, done), kernel.integer(shape.rows)),
         .position = loadId(kernel, positions, row),
         .scratch = scratch,
         .block = block});
  });
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
  std::optional<Matrix> sinks = vectorOf(kernel, op.getSinks());
  Value sums = kernel.scratch(layout.values * 4);
  kernel.loop(zero, out.rows, 1, [&](Value row) {
    Value position = loadId(kernel, positions, row), sequence = loadId(kernel, sequences, row);
    Value end = kernel.add(position, one), begin = zero;
    if (layout.window > 0)
      begin = kernel.max(zero, kernel.sub(end, kernel.integer(layout.window)));
    if (layout.chunk > 0)
      begin = kernel.sub(position, kernel.rem(position, kernel.integer(layout.chunk)));
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
      Value sink = kernel.number(f32, -std::numeric_limits<float>::max());
      if (sinks)
        sink = kernel.load(sinks->element, kernel.address(sinks->base, sinks->element, head));
      Value peak = kernel.loop(begin, end, 1, ValueRange{sink},
                               [&](Value at, ValueRange now) -> SmallVector<Value> {
                                 return {kernel.max(now[0], score(place(at), slotOf(at)))};
                               })[0];
      forEach(kernel, layout.values,
              [&](Value i) { kernel.store(kernel.number(f32, 0), kernel.address(sums, f32, i)); });
      // A sink's share of the softmax weighs no value.
      Value unweighed = sinks ? emitExp(kernel, kernel.sub(sink, peak)) : kernel.number(f32, 0);
      Value total =
          kernel.loop(begin, end, 1, ValueRange{unweighed},
                      [&](Value at, ValueRange now) -> SmallVector<Value> {
                        Value block = place(at), slot = slotOf(at);
                        Value p = emitExp(kernel, kernel.sub(score(block, slot), peak));
                        Value rounded = kernel.widen(kernel.round(layout.element, p));
                        forEach(kernel, layout.values, [&](Value i) {
                          Value v = kernel.widen(kernel.load(
                              layout.element,
                              kernel.addressBytes(block, valueOffset(kernel, layout, slot, i))));
                          Value to = kernel.address(sums, f32, i);
                          kernel.store(kernel.fma(rounded, v, kernel.load(f32, to)), to);
                        });
                        return {kernel.add(now[0], p)};
                      })[0];
      Value result = kernel.address(out.row(kernel, row), out.element,
                                    kernel.mul(head, kernel.integer(layout.values)));
      forEach(kernel, layout.values, [&](Value i) {
        Value value = kernel.div(kernel.load(f32, kernel.address(sums, f32, i)), total);
        kernel.store(kernel.round(out.element, value), kernel.address(result, out.element, i));
      });
    });
  });
}
