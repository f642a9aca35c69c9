// The reference lowering of attention and of the choice of keys: plain loops over the positions
// that a row sees.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/ChosenKeys.h"
#include "compiler/targets/ElementaryFunctions.h"
#include "compiler/targets/SortKey.h"
#include "runtime/core/Step.h"

#include <cstddef>

using namespace mlir;
using namespace moec;

static void forEach(KernelBuilder &kernel, int64_t count, function_ref<void(Value)> body) {
  kernel.loop(kernel.integer(0), kernel.integer(count), 1, body);
}

void moec::chooseLargestPlainly(KernelBuilder &kernel, Value keys, Value count, int64_t most,
                                Value out) {
  Value zero = kernel.integer(0), one = kernel.integer(1);
  // One is chosen if fewer than can be chosen come before it.
  auto keyAt = [&](Value at) { return loadId(kernel, keys, at); };
  Value chosen = kernel.loop(
      zero, count, 1, ValueRange{zero}, [&](Value at, ValueRange made) -> SmallVector<Value> {
        Value own = keyAt(at);
        Value before = kernel.loop(
            zero, count, 1, ValueRange{zero},
            [&](Value other, ValueRange now) -> SmallVector<Value> {
              Value larger = kernel.compare(arith::CmpIPredicate::sgt, keyAt(other), own);
              Value equal =
                  kernel.bitAnd(kernel.compare(arith::CmpIPredicate::eq, keyAt(other), own),
                                kernel.compare(arith::CmpIPredicate::slt, other, at));
              Value isBefore = kernel.bitOr(larger, equal);
              return {kernel.add(now[0], kernel.select(isBefore, one, zero))};
            })[0];
        Value isChosen = kernel.compare(arith::CmpIPredicate::slt, before, kernel.integer(most));
        kernel.when(isChosen, [&] { storeId(kernel, at, out, kernel.add(made[0], one)); });
        return {kernel.add(made[0], kernel.select(isChosen, one, zero))};
      })[0];
  storeId(kernel, chosen, out, zero);
}

void moec::lowerChooseKeysPlainly(KernelBuilder &kernel, lm::ChooseKeysOp op) {
  RowBuffer queries = rowBuffer(kernel, op.getQueries()),
            weights = rowBuffer(kernel, op.getWeights()), out = rowBuffer(kernel, op.getOut());
  auto cache = cacheView(kernel, lm::cacheOf(op), op.getLayer());
  const CacheLayout &layout = cache.layout;
  Type f32 = kernel.f32();
  Value zero = kernel.integer(0), one = kernel.integer(1);
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value sequences =
      batchField(kernel, offsetof(moec_step_arguments, row_sequences), kernel.pointer());
  Value keys = kernel.scratch(static_cast<int64_t>(op.getContext()) * 4);
  kernel.loop(zero, out.rows, 1, [&](Value row) {
    Value sequence = loadId(kernel, sequences, row);
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
      score = kernel.mul(score, kernel.number(f32, op.getScale().convertToFloat()));
      kernel.store(emitSortKey(kernel, score), kernel.address(keys, kernel.i32(), at));
    });
    chooseLargestPlainly(kernel, keys, count, out.columns - 1, out.row(kernel, row));
  });
}

void moec::lowerAttentionPlainly(KernelBuilder &kernel, lm::AttentionOp op) {
  RowBuffer queries = rowBuffer(kernel, op.getQueries()), out = rowBuffer(kernel, op.getOut());
  auto cache = cacheView(kernel, lm::cacheOf(op), op.getLayer());
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
    std::optional<ChosenKeys> chosen;
    if (op.getChosen()) {
      RowBuffer lists = rowBuffer(kernel, op.getChosen());
      chosen = {lists.row(kernel, row), lists.columns - 1, position};
      begin = zero;
      end = chosen->count(kernel);
    }
    auto positionAt = [&](Value at) { return chosen ? chosen->position(kernel, at) : at; };
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
        sink = matrixElement(kernel, *sinks, zero, head);
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
