// Lowers the row-wise ops that work head by head: rope, the parts of heads, and what goes to the
// cache.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/ElementaryFunctions.h"
#include "runtime/core/Step.h"

#include <cstddef>

using namespace mlir;
using namespace moec;

void moec::lowerRopeTable(KernelBuilder &kernel, lm::RopeTableOp op, const Tile &tile) {
  RowBuffer positions = rowBuffer(kernel, op.getPositions());
  RowBuffer cosines = rowBuffer(kernel, op.getCosines()), sines = rowBuffer(kernel, op.getSines());
  ArrayRef<float> frequencies = op.getFrequencies();
  Value factor = kernel.number(kernel.lanes(kernel.f32()), op.getFactor().convertToFloat());
  auto [begin, end] = tile.rowsOf(kernel, cosines);
  kernel.loop(begin, end, 1, [&](Value row) {
    Value position = kernel.load(kernel.i32(), kernel.address(positions.base, kernel.i32(), row));
    Value angle = kernel.broadcast(
        arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(), position));
    for (int64_t first = 0; first < cosines.columns; first += kernel.laneCount()) {
      int64_t lanes = std::min(kernel.laneCount(), cosines.columns - first);
      Value values = kernel.listedLanes(frequencies, first, lanes);
      auto [sine, cosine] = emitSinCos(kernel, kernel.mul(angle, values));
      storeRow(kernel, kernel.mul(cosine, factor), cosines.element, cosines.row(kernel, row),
               kernel.integer(first), lanes);
      storeRow(kernel, kernel.mul(sine, factor), sines.element, sines.row(kernel, row),
               kernel.integer(first), lanes);
    }
  });
}

/// The pairs x[2i], x[2i + 1] of one head; an element at a time.
static void rotateInterleaved(KernelBuilder &kernel, int64_t pairs, Type from, Value input, Type to,
                              Value output, Value cosines, Value sines) {
  kernel.forEach(pairs, [&](Value i) {
    Value even = kernel.mul(i, kernel.integer(2)), odd = kernel.add(even, kernel.integer(1));
    auto element = [&](Type type, Value base, Value at) {
      return kernel.widen(kernel.load(type, kernel.address(base, type, at)));
    };
    Value c = element(kernel.f32(), cosines, i), s = element(kernel.f32(), sines, i);
    Value a = element(from, input, even), b = element(from, input, odd);
    kernel.store(kernel.round(to, kernel.sub(kernel.mul(a, c), kernel.mul(b, s))),
                 kernel.address(output, to, even));
    kernel.store(kernel.round(to, kernel.add(kernel.mul(b, c), kernel.mul(a, s))),
                 kernel.address(output, to, odd));
  });
}

/// Copies `count` entries.
static void copyEntries(KernelBuilder &kernel, Type element, Value from, Type outElement, Value to,
                        int64_t count) {
  kernel.forColumns(count, [&](Value column, int64_t lanes) {
    storeRow(kernel, loadRow(kernel, element, from, column, lanes), outElement, to, column, lanes);
  });
}

/// The pairs x[i], x[i + pairs] of one head.
static void rotateHalves(KernelBuilder &kernel, int64_t pairs, Type from, Value input, Type to,
                         Value output, Value cosines, Value sines) {
  Value half = kernel.integer(pairs);
  kernel.forColumns(pairs, [&](Value column, int64_t lanes) {
    Value second = kernel.add(column, half);
    Value c = loadRow(kernel, kernel.f32(), cosines, column, lanes),
          s = loadRow(kernel, kernel.f32(), sines, column, lanes);
    Value a = loadRow(kernel, from, input, column, lanes),
          b = loadRow(kernel, from, input, second, lanes);
    storeRow(kernel, kernel.sub(kernel.mul(a, c), kernel.mul(b, s)), to, output, column, lanes);
    storeRow(kernel, kernel.add(kernel.mul(b, c), kernel.mul(a, s)), to, output, second, lanes);
  });
}

/// Part `head` (i64) of a row (i64) that is cut into `heads`.
static Value partOf(KernelBuilder &kernel, const RowBuffer &buffer, Value row, Value head,
                    int64_t heads) {
  return kernel.address(buffer.row(kernel, row), buffer.element,
                        kernel.mul(head, kernel.integer(buffer.columns / heads)));
}

/// body(row, head) for each part of the tile's rows.
static void forParts(KernelBuilder &kernel, const RowBuffer &out, const Tile &tile, int64_t heads,
                     function_ref<void(Value row, Value head)> body) {
  auto [begin, end] = tile.rowsOf(kernel, out);
  kernel.loop(begin, end, 1, [&](Value row) {
    kernel.loop(kernel.integer(0), kernel.integer(heads), 1, [&](Value head) { body(row, head); });
  });
}

void moec::lowerRope(KernelBuilder &kernel, lm::RopeOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  RowBuffer cosines = rowBuffer(kernel, op.getCosines()), sines = rowBuffer(kernel, op.getSines());
  const int64_t heads = op.getHeads(), first = op.getFirst(), pairs = cosines.columns,
                rest = input.columns / heads - first - 2 * pairs;
  forParts(kernel, out, tile, heads, [&](Value row, Value head) {
    Value from = partOf(kernel, input, row, head, heads),
          to = partOf(kernel, out, row, head, heads);
    auto entry = [&](const RowBuffer &buffer, Value part, int64_t number) {
      return kernel.address(part, number * bytesOf(buffer.element));
    };
    copyEntries(kernel, input.element, from, out.element, to, first);
    auto rotate = op.getInterleaved() ? rotateInterleaved : rotateHalves;
    rotate(kernel, pairs, input.element, entry(input, from, first), out.element,
           entry(out, to, first), cosines.row(kernel, row), sines.row(kernel, row));
    copyEntries(kernel, input.element, entry(input, from, first + 2 * pairs), out.element,
                entry(out, to, first + 2 * pairs), rest);
  });
}

void moec::lowerSliceHeads(KernelBuilder &kernel, lm::SliceHeadsOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  const int64_t heads = op.getHeads();
  forParts(kernel, out, tile, heads, [&](Value row, Value head) {
    Value from = kernel.address(partOf(kernel, input, row, head, heads),
                                static_cast<int64_t>(op.getFirst()) * bytesOf(input.element));
    copyEntries(kernel, input.element, from, out.element, partOf(kernel, out, row, head, heads),
                out.columns / heads);
  });
}

void moec::lowerJoinHeads(KernelBuilder &kernel, lm::JoinHeadsOp op, const Tile &tile) {
  RowBuffer left = rowBuffer(kernel, op.getLeft()), right = rowBuffer(kernel, op.getRight()),
            out = rowBuffer(kernel, op.getOut());
  const int64_t heads = op.getHeads(), first = left.columns / heads,
                rest = out.columns / heads - first;
  forParts(kernel, out, tile, heads, [&](Value row, Value head) {
    Value to = partOf(kernel, out, row, head, heads);
    copyEntries(kernel, left.element, partOf(kernel, left, row, head, heads), out.element, to,
                first);
    Value other =
        right.columns == rest ? right.row(kernel, row) : partOf(kernel, right, row, head, heads);
    copyEntries(kernel, right.element, other, out.element,
                kernel.address(to, first * bytesOf(out.element)), rest);
  });
}

void moec::lowerCacheAppend(KernelBuilder &kernel, lm::CacheAppendOp op, const Tile &tile) {
  RowBuffer keys = rowBuffer(kernel, op.getKeys());
  std::optional<RowBuffer> values;
  if (op.getValues())
    values = rowBuffer(kernel, op.getValues());
  auto cache = cacheView(kernel, lm::cacheOf(op), op.getLayer());
  const CacheLayout &layout = cache.layout;
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value sequences =
      batchField(kernel, offsetof(moec_step_arguments, row_sequences), kernel.pointer());
  auto [begin, end] = tile.rowsOf(kernel, keys);
  kernel.loop(begin, end, 1, [&](Value row) {
    Value position = loadId(kernel, positions, row), sequence = loadId(kernel, sequences, row);
    Value slot = kernel.rem(position, kernel.integer(layout.block));
    kernel.loop(kernel.integer(0), kernel.integer(layout.heads), 1, [&](Value head) {
      Value place = cacheHead(kernel, cache, sequence, position, head);
      auto put = [&](const RowBuffer &buffer, auto offsetOf) {
        const int64_t size = buffer.columns / layout.heads;
        Value from = partOf(kernel, buffer, row, head, layout.heads);
        kernel.forEach(size, [&](Value i) {
          Value element = kernel.load(buffer.element, kernel.address(from, buffer.element, i));
          kernel.store(kernel.round(layout.element, kernel.widen(element)),
                       kernel.addressBytes(place, offsetOf(kernel, layout, slot, i)));
        });
      };
      put(keys, keyOffset);
      if (values)
        put(*values, valueOffset);
    });
  });
}
