// Lowers attention to tensor cores: a block of threads makes heads of a few tokens, all their keys
// or a piece of them.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/cuda/MmaAttention.h"
#include "runtime/core/Step.h"

#include <cstddef>

using namespace mlir;
using namespace moec;

template <typename Op> static MmaAttentionShape shapeOf(Op op, int64_t group, double scale) {
  const CacheLayout layout(lm::cacheOf(op));
  return {.size = layout.size,
          .values = layout.values,
          .keyWidth = layout.keyDepth,
          .valueWidth = layout.valueWidth,
          .latent = layout.latent,
          .block = layout.block,
          .window = layout.window,
          .chunk = layout.chunk,
          .piece = static_cast<int64_t>(op.getPiece()),
          .pieces = static_cast<int64_t>(op.getPieces()),
          .heads = attentionHeads(group),
          .scale = scale};
}

namespace {

/// What the two ops that read keys have in common: heads of a token that share a key head.
template <typename Op> class BlockAttention {
public:
  BlockAttention(ThreadBuilder &kernel, Op op)
      : kernel(kernel), op(op), queries(rowBuffer(kernel, op.getQueries())),
        cache(cacheView(kernel, lm::cacheOf(op), op.getLayer())), layout(cache.layout),
        allHeads(queries.columns / layout.size), group(allHeads / layout.heads),
        shape(shapeOf(op, group, op.getScale().convertToDouble())), parts(allHeads / shape.heads) {}

  /// The tile's rows: heads from number `part` (i64) of the parts on, of tokens from row `first`
  /// on.
  MmaAttentionRows rows(Value part, Value first, Value tokens, Value sequence) {
    Value positions =
        batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
    firstHead = kernel.mul(part, kernel.integer(shape.heads));
    Value keyHead = kernel.div(firstHead, kernel.integer(group));
    auto place = [this, sequence, keyHead](Value position, int64_t start, int64_t width) {
      Value slot = kernel.rem(position, kernel.integer(layout.block));
      Value bytes = kernel.mul(slot, kernel.integer(width * layout.elementBytes));
      return kernel.address(
          kernel.addressBytes(cacheHead(kernel, cache, sequence, position, keyHead), bytes), start);
    };
    return {.tokens = tokens,
            .position = loadId(kernel, positions, first),
            .query =
                [this, first](Value token, Value head) {
                  return headOf(queries, layout.size, kernel.add(first, token), head);
                },
            .areAligned = areAligned(op.getQueries(), 8) && layout.size % 8 == 0,
            .key = [this, place](Value at) { return place(at, 0, layout.keyDepth); },
            .value = [this,
                      place](Value at) { return place(at, layout.keyBytes(), layout.valueWidth); }};
  }
  /// Where a head of the tile has `size` columns of a row.
  Value headOf(const RowBuffer &buffer, int64_t size, Value row, Value head) {
    return kernel.address(buffer.row(kernel, row), buffer.element,
                          kernel.mul(kernel.add(firstHead, head), kernel.integer(size)));
  }
  /// Whether rows begin at multiples of so many elements.
  static bool areAligned(Value buffer, int64_t elements) {
    auto [strides, offset] = cast<MemRefType>(buffer.getType()).getStridesAndOffset();
    return !ShapedType::isDynamic(strides.front()) && strides.front() % elements == 0 &&
           !ShapedType::isDynamic(offset) && offset % elements == 0;
  }

  ThreadBuilder &kernel;
  Op op;
  const RowBuffer queries;
  const CacheView cache;
  const CacheLayout &layout;
  const int64_t allHeads, group;
  const MmaAttentionShape shape;
  const int64_t parts;
  Value firstHead;
};

} // namespace

void moec::lowerAttendTilesByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::AttendTilesOp op,
                                   const Tile &tile, const CudaTarget &target) {
  BlockAttention<lm::AttendTilesOp> attention(kernel, op);
  const MmaAttentionShape &shape = attention.shape;
  const int64_t most = attentionTokens(shape.heads), perEntry = attentionTilesOfEntry(shape.heads);
  const MmaAttentionTile numbers = mmaAttentionTile(shape, kManyAttentionRows, target);
  Value memory = blockMemory(kernel, phase, mmaAttentionBytes(shape, numbers), kTileBlocks);
  RowBuffer out = rowBuffer(kernel, op.getOut()), room = rowBuffer(kernel, op.getRoom());
  std::optional<Matrix> sinks = vectorOf(kernel, op.getSinks());
  auto [place, part] = tile.split(kernel, attention.parts);
  Value entry = kernel.mul(kernel.div(place, kernel.integer(perEntry)), kernel.integer(3)),
        done = kernel.mul(kernel.rem(place, kernel.integer(perEntry)), kernel.integer(most));
  Value tiles = batchField(kernel, offsetof(moec_step_arguments, tiles), kernel.pointer());
  auto entryField = [&](int64_t field) {
    return loadId(kernel, tiles, kernel.add(entry, kernel.integer(field)));
  };
  Value left = kernel.sub(entryField(1), done);
  kernel.when(kernel.compare(arith::CmpIPredicate::sgt, left, kernel.integer(0)), [&, part = part] {
    Value first = kernel.add(entryField(0), done);
    const MmaAttentionRows rows =
        attention.rows(part, first, kernel.min(left, kernel.integer(most)), entryField(2));
    auto resultAt = [&, first](const RowBuffer &buffer) {
      return [&, first](Value token, Value head) {
        return attention.headOf(buffer, shape.values, kernel.add(first, token), head);
      };
    };
    MmaAttentionResults results{.out = resultAt(out),
                                .room = resultAt(room),
                                .element = out.element,
                                .arePairs =
                                    shape.values % 2 == 0 && attention.areAligned(op.getOut(), 2),
                                .sink = nullptr};
    if (sinks)
      results.sink = [&](Value head) {
        return matrixElement(kernel, *sinks, kernel.integer(0),
                             kernel.add(attention.firstHead, head));
      };
    emitAttendTile(kernel, shape, numbers, rows, results, memory);
  });
}

/// The pieces of a row: which is the first, and how many they are, and how long.
static std::tuple<Value, Value, Value> piecesOf(KernelBuilder &kernel,
                                                const MmaAttentionShape &shape, Value position) {
  Value length = emitPieceLength(kernel, shape, position);
  Value first = kernel.div(emitFirstSeen(kernel, shape, position), length),
        last = kernel.div(position, length);
  return {first, kernel.add(kernel.sub(last, first), kernel.integer(1)), length};
}

void moec::lowerAttendPiecesByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::AttendPiecesOp op,
                                    const Tile &tile, const CudaTarget &target) {
  BlockAttention<lm::AttendPiecesOp> attention(kernel, op);
  const MmaAttentionShape &shape = attention.shape;
  const MmaAttentionTile numbers = mmaAttentionTile(shape, fewAttentionRows(shape.heads), target);
  Value memory = blockMemory(kernel, phase, mmaAttentionBytes(shape, numbers), kPieceBlocks);
  RowBuffer parts = rowBuffer(kernel, op.getParts());
  Value most = arith::IndexCastOp::create(kernel.builder, kernel.loc, kernel.i64(), op.getMost());
  Value place = kernel.div(tile.index, most), number = kernel.rem(tile.index, most);
  Value row = kernel.div(place, kernel.integer(attention.parts)),
        part = kernel.rem(place, kernel.integer(attention.parts));
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value sequences =
      batchField(kernel, offsetof(moec_step_arguments, row_sequences), kernel.pointer());
  Value position = loadId(kernel, positions, row);
  auto [first, count, length] = piecesOf(kernel, shape, position);
  kernel.when(kernel.compare(arith::CmpIPredicate::slt, number, count), [&, first = first,
                                                                         length = length] {
    const MmaAttentionRows rows =
        attention.rows(part, row, kernel.integer(1), loadId(kernel, sequences, row));
    Value start = kernel.mul(kernel.add(first, number), length);
    Value begin = kernel.max(start, emitFirstSeen(kernel, shape, position)),
          end = kernel.min(kernel.add(start, length), kernel.add(position, kernel.integer(1)));
    const int64_t size = shape.values + lm::kPieceNumbers;
    emitAttendPiece(
        kernel, shape, numbers, rows, begin, end,
        [&](Value head) {
          Value pieces = attention.headOf(parts, shape.pieces * size, row, head);
          return kernel.address(pieces, parts.element, kernel.mul(number, kernel.integer(size)));
        },
        memory);
  });
}

void moec::lowerJoinPiecesByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::JoinPiecesOp op,
                                  const Tile &tile) {
  const MmaAttentionShape shape = shapeOf(op, /*group=*/1, /*scale=*/1);
  RowBuffer parts = rowBuffer(kernel, op.getParts()), out = rowBuffer(kernel, op.getOut());
  std::optional<Matrix> sinks = vectorOf(kernel, op.getSinks());
  const int64_t heads = out.columns / shape.values,
                width = shape.pieces * (shape.values + lm::kPieceNumbers);
  auto [row, head] = tile.split(kernel, heads);
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value count = std::get<1>(piecesOf(kernel, shape, loadId(kernel, positions, row)));
  auto headAt = [&, row = row, head = head](const RowBuffer &buffer, int64_t size) {
    return kernel.address(buffer.row(kernel, row), buffer.element,
                          kernel.mul(head, kernel.integer(size)));
  };
  Value sink = sinks ? matrixElement(kernel, *sinks, kernel.integer(0), head) : Value();
  emitJoinPieces(kernel, shape.values, static_cast<int64_t>(phase.getWarps()) * kWarpLanes,
                 headAt(parts, width), count, sink, out.element, headAt(out, shape.values));
}
