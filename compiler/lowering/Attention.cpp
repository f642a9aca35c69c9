// Lowers attention: to the target's kernel, or to plain loops over the positions that a row sees.

#include "compiler/analysis/AttentionTiles.h"
#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/cpu/AttentionKernel.h"
#include "compiler/targets/cpu/ElementaryFunctions.h"
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
  TileAttention(KernelBuilder &kernel, lm::AttentionOp op, const Tile &tile)
      : kernel(kernel), op(op), queries(rowBuffer(kernel, op.getQueries())),
        out(rowBuffer(kernel, op.getOut())), sinks(vectorOf(kernel, op.getSinks())),
        cache(cacheView(kernel,
                        SymbolTable::lookupNearestSymbolFrom<lm::CacheOp>(op, op.getCacheAttr()),
                        op.getLayer())),
        layout(cache.layout), group(queries.columns / layout.size / layout.heads),
        shape{.element = layout.element,
              .queries = queries.element,
              .size = layout.size,
              .values = layout.values,
              .latent = layout.latent,
              .group = attentionHeads(group),
              .block = layout.block,
              .rows = attentionTokens(attentionHeads(group)),
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
  AttentionBlock gather(Value list, Value count, Value number);

  KernelBuilder &kernel;
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

/// Block `number` of the chosen positions, `count` of them in `list`, made one.
AttentionBlock TileAttention::gather(Value list, Value count, Value number) {
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
      Value position = loadId(kernel, list, kernel.min(place, last));
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
  RowBuffer chosen = rowBuffer(kernel, op.getChosen());
  shape.element = kernel.f32();
  shape.latent = false;
  shape.rows = 1;
  kernel.loop(first, kernel.add(first, rows), 1, [&](Value row) {
    Value list = chosen.row(kernel, row), one = kernel.integer(1);
    Value count = loadId(kernel, list, kernel.integer(0));
    list = kernel.address(list, kernel.i32(), one);
    emit(row, one, kernel.sub(count, one),
         [&](Value number) { return gather(list, count, number); });
  });
}

void moec::lowerAttention(KernelBuilder &kernel, lm::AttentionOp op, const Tile &tile) {
  TileAttention attention(kernel, op, tile);
  if (op.getChosen())
    attention.emitChosen();
  else
    attention.emitAll();
}

void moec::lowerChooseKeys(KernelBuilder &kernel, lm::ChooseKeysOp op, const Tile &tile) {
  RowBuffer queries = rowBuffer(kernel, op.getQueries()),
            weights = rowBuffer(kernel, op.getWeights()), out = rowBuffer(kernel, op.getOut());
  auto cache =
      cacheView(kernel, SymbolTable::lookupNearestSymbolFrom<lm::CacheOp>(op, op.getCacheAttr()),
                op.getLayer());
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

static void forEach(KernelBuilder &kernel, int64_t count, function_ref<void(Value)> body) {
  kernel.loop(kernel.integer(0), kernel.integer(count), 1, body);
}

void moec::lowerChooseKeysPlainly(KernelBuilder &kernel, lm::ChooseKeysOp op) {
  RowBuffer queries = rowBuffer(kernel, op.getQueries()),
            weights = rowBuffer(kernel, op.getWeights()), out = rowBuffer(kernel, op.getOut());
  auto cache =
      cacheView(kernel, SymbolTable::lookupNearestSymbolFrom<lm::CacheOp>(op, op.getCacheAttr()),
                op.getLayer());
  const CacheLayout &layout = cache.layout;
  Type f32 = kernel.f32();
  Value zero = kernel.integer(0), one = kernel.integer(1);
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value sequences =
      batchField(kernel, offsetof(moec_step_arguments, row_sequences), kernel.pointer());
  Value scores = kernel.scratch(static_cast<int64_t>(op.getContext()) * 4);
  auto scoreAt = [&](Value at) { return kernel.load(f32, kernel.address(scores, f32, at)); };
  kernel.loop(zero, out.rows, 1, [&](Value row) {
    Value sequence = loadId(kernel, sequences, row), to = out.row(kernel, row);
    Value count = kernel.add(loadId(kernel, positions, row), one);
    kernel.loop(zero, count, 1, [&](Value at) {
      Value place = cacheHead(kernel, cache, sequence, at, zero),
            slot = kernel.rem(at, kernel.integer(layout.block));
      auto add = [&](Value head, ValueRange sum) -> SmallVector<Value> {
        Value start = kernel.mul(head, kernel.integer(layout.size));
        Value dot = kernel.loop(
            zero, kernel.integer(layout.size), 1, ValueRange{kernel.number(f32, 0)},
            [&](Value i, ValueRange now) -> SmallVector<Value> {
              Value q = kernel.load(
                  f32, kernel.address(queries.row(kernel, row), f32, kernel.add(start, i)));
              Value k = kernel.widen(kernel.load(
                  layout.element, kernel.addressBytes(place, keyOffset(kernel, layout, slot, i))));
              return {kernel.fma(q, k, now[0])};
            })[0];
        Value weight = kernel.load(f32, kernel.address(weights.row(kernel, row), f32, head));
        return {kernel.fma(weight, kernel.max(kernel.number(f32, 0), dot), sum[0])};
      };
      Value score = kernel.loop(zero, kernel.integer(weights.columns), 1,
                                ValueRange{kernel.number(f32, 0)}, add)[0];
      kernel.store(kernel.mul(score, kernel.number(f32, op.getScale().convertToFloat())),
                   kernel.address(scores, f32, at));
    });
    // One is chosen if fewer than can be chosen come before it.
    auto compare = [&](arith::CmpFPredicate how, Value a, Value b) -> Value {
      return arith::CmpFOp::create(kernel.builder, kernel.loc, how, a, b);
    };
    Value chosen = kernel.loop(
        zero, count, 1, ValueRange{zero}, [&](Value at, ValueRange made) -> SmallVector<Value> {
          Value own = scoreAt(at);
          Value before = kernel.loop(
              zero, count, 1, ValueRange{zero},
              [&](Value other, ValueRange now) -> SmallVector<Value> {
                Value larger = compare(arith::CmpFPredicate::OGT, scoreAt(other), own);
                Value equal =
                    arith::AndIOp::create(kernel.builder, kernel.loc,
                                          compare(arith::CmpFPredicate::OEQ, scoreAt(other), own),
                                          kernel.compare(arith::CmpIPredicate::slt, other, at));
                Value isBefore = arith::OrIOp::create(kernel.builder, kernel.loc, larger, equal);
                return {kernel.add(now[0], kernel.select(isBefore, one, zero))};
              })[0];
          Value isChosen =
              kernel.compare(arith::CmpIPredicate::slt, before, kernel.integer(out.columns - 1));
          kernel.when(isChosen, [&] { storeId(kernel, at, to, kernel.add(made[0], one)); });
          return {kernel.add(made[0], kernel.select(isChosen, one, zero))};
        })[0];
    storeId(kernel, chosen, to, zero);
  });
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
    Value list;
    if (op.getChosen()) {
      list = rowBuffer(kernel, op.getChosen()).row(kernel, row);
      begin = one;
      end = kernel.add(loadId(kernel, list, zero), one);
    }
    auto positionAt = [&](Value at) { return list ? loadId(kernel, list, at) : at; };
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
      auto place = [&](Value at) {
        return cacheHead(kernel, cache, sequence, positionAt(at), keyHead);
      };
      auto slotOf = [&](Value at) {
        return kernel.rem(positionAt(at), kernel.integer(layout.block));
      };
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
      Value total = kernel.loop(
          begin, end, 1, ValueRange{unweighed},
          [&](Value at, ValueRange now) -> SmallVector<Value> {
            Value block = place(at), slot = slotOf(at);
            Value p = emitExp(kernel, kernel.sub(score(block, slot), peak));
            Value rounded = kernel.widen(kernel.round(layout.indexed ? f32 : layout.element, p));
            forEach(kernel, layout.values, [&](Value i) {
              Value v = kernel.widen(
                  kernel.load(layout.element,
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
