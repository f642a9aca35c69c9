// The attention kernel: block by block, both products and between them a step of the online
// softmax.

#include "compiler/targets/ElementaryFunctions.h"
#include "compiler/targets/cpu/AttentionProducts.h"
#include "compiler/targets/cpu/GatheredKeys.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace moec;

static constexpr double kLowest = -std::numeric_limits<float>::max();

namespace {

/// Where a tile's state lies in the scratch memory; R rows, one per token and head. Bytes.
struct ScratchLayout {
  explicit ScratchLayout(const AttentionShape &shape) {
    const int64_t rows = roundUpTo(shape.rows * shape.group, kLanes);
    auto take = [this, rows](int64_t rowBytes) {
      const int64_t at = total;
      total += rows * rowBytes; // a multiple of 64
      return at;
    };
    queries = take(shape.keyDepth() * 4);
    scores = take(shape.block * 4);
    sums = take(shape.valueWidth() * 4);
    totals = take(kLanes * 4);
    largest = take(4);
    peaks = take(4);
    factors = take(4);
    values = total;
    total += shape.latent ? shape.valueWidth() * shape.block * 4 : 0;
  }

  int64_t total = 0;
  int64_t queries; ///< [R][keyDepth] of attentionRowElement()
  int64_t scores;  ///< [R][B] f32, and in their place 2^(score - peak), of attentionRowElement()
  int64_t sums;    ///< [R][D] f32: weighted sums of values
  int64_t totals;  ///< [R][16] f32: sums of weights, by lane
  int64_t largest; ///< [R] f32: largest score of the block
  int64_t peaks;   ///< [R] f32: largest score so far, times the scale
  int64_t factors; ///< [R] f32: what older sums are multiplied by
  int64_t values;  ///< of a latent cache, [D/16][B][16] f32: the block's values
};

/// The keys [begin, end) of a block that are looked at; multiples of 16, i64.
struct KeyRange {
  Value begin, end;
};

class Attention {
public:
  Attention(CpuKernelBuilder &kernel, const AttentionShape &shape, const AttentionTile &tile)
      : kernel(kernel), shape(shape), tile(tile), layout(shape),
        rowElement(attentionRowElement(kernel, shape)),
        weightElement(attentionWeightElement(kernel, shape)), group(kernel.integer(shape.group)),
        heads(kernel.mul(tile.rows, group)),
        lastPosition(kernel.add(tile.position, kernel.sub(tile.rows, kernel.integer(1)))),
        // Powers of two rather than of e.
        scale(shape.scale * M_LOG2E) {}

  void emit();

private:
  /// Which keys of a block a token sees: those from `first` (null: 0) to `last`, i32.
  struct Seen {
    Value first, last;
  };

  void begin();
  void addBlock(Value number, Value last);
  Value oldestSeen(Value position);
  KeyRange seenKeys(Value firstPosition);
  Value layOutValues(Value keys, const KeyRange &range);
  Seen seenBy(Value token, Value firstPosition);
  Value mask(const Seen &seen, Value firstKey);
  void forRows(Value firstPosition, Value masked,
               function_ref<void(Value row, const Seen *seen)> body);
  void findLargest(Value row, const KeyRange &keys, const Seen *seen);
  void raisePeaks();
  void weigh(Value row, const KeyRange &keys, const Seen *seen);
  void finish();

  Value at(int64_t part) { return kernel.address(tile.scratch, part); }
  Value entry(int64_t part, Value row) { return kernel.address(at(part), kernel.f32(), row); }
  Value scoreAt(Value row, Value key) {
    return entry(layout.scores, kernel.add(kernel.mul(row, kernel.integer(shape.block)), key));
  }
  Value totalsAt(Value row) {
    return entry(layout.totals, kernel.mul(row, kernel.integer(kLanes)));
  }

  CpuKernelBuilder &kernel;
  const AttentionShape &shape;
  const AttentionTile &tile;
  const ScratchLayout layout;
  const Type rowElement, weightElement;
  const Value group, heads, lastPosition;
  const double scale;
};

} // namespace

// Queries go side by side, as the product takes them: in their rows they are a power of two apart,
// which the first cache level does not like.
void Attention::begin() {
  Type floats = kernel.lanes(kernel.f32());
  const int64_t rowBytes = shape.keyDepth() * bytesOf(rowElement);
  kernel.loop(kernel.integer(0), tile.rows, 1, [&](Value token) {
    Value from = kernel.address(tile.queries, shape.queries, kernel.mul(token, tile.queryStride));
    kernel.loop(kernel.integer(0), group, 1, [&](Value head) {
      Value row = kernel.add(kernel.mul(token, group), head);
      Value query =
          kernel.address(from, shape.queries, kernel.mul(head, kernel.integer(shape.size)));
      Value to = kernel.addressBytes(at(layout.queries), kernel.mul(row, kernel.integer(rowBytes)));
      kernel.forColumns(shape.size, [&](Value column, int64_t lanes) {
        Value values =
            kernel.loadLanes(shape.queries, kernel.address(query, shape.queries, column), lanes);
        // What pads a pair is one of the lanes that loadLanes clears.
        kernel.storeLanes(kernel.round(rowElement, kernel.widen(values)),
                          kernel.address(to, rowElement, column),
                          std::min(kLanes, lanes + shape.keyDepth() - shape.size));
      });
    });
  });
  Value zeros = kernel.number(floats, 0);
  kernel.loop(kernel.integer(0), heads, kLanes, [&](Value row) {
    kernel.store(kernel.number(floats, kLowest), entry(layout.largest, row));
    kernel.store(kernel.number(floats, kLowest), entry(layout.peaks, row));
  });
  kernel.loop(kernel.integer(0), heads, 1, [&](Value row) {
    kernel.store(zeros, totalsAt(row));
    if (!tile.sinks)
      return;
    // The softmax begins with the sink, whose weight is 2^0 then.
    Value from = kernel.address(tile.sinks, tile.sinkElement, kernel.rem(row, group));
    Value sink = kernel.widen(kernel.load(tile.sinkElement, from));
    kernel.store(kernel.mul(sink, kernel.number(kernel.f32(), M_LOG2E)), entry(layout.peaks, row));
    kernel.store(kernel.number(kernel.f32(), 1), totalsAt(row));
  });
  kernel.loop(kernel.integer(0), kernel.mul(heads, kernel.integer(shape.valueWidth())), kLanes,
              [&](Value offset) { kernel.store(zeros, entry(layout.sums, offset)); });
}

/// The first position that the token at `position` sees; below 0 where a window reaches so far.
/// Null where it sees all.
Value Attention::oldestSeen(Value position) {
  if (shape.window > 0)
    return kernel.sub(position, kernel.integer(shape.window - 1));
  if (shape.chunk > 0)
    return kernel.sub(position, kernel.rem(position, kernel.integer(shape.chunk)));
  return {};
}

/// The keys of a block that one of the tile's tokens sees, and what rounds to whole vectors.
KeyRange Attention::seenKeys(Value firstPosition) {
  Value lanes = kernel.integer(kLanes), zero = kernel.integer(0);
  auto wholeVectors = [&](Value keys) { return kernel.mul(kernel.div(keys, lanes), lanes); };
  Value count = kernel.sub(kernel.add(lastPosition, kernel.integer(kLanes)), firstPosition);
  KeyRange range{zero, kernel.min(wholeVectors(count), kernel.integer(shape.block))};
  if (Value oldest = oldestSeen(tile.position))
    range.begin = wholeVectors(kernel.max(kernel.sub(oldest, firstPosition), zero));
  return range;
}

Attention::Seen Attention::seenBy(Value token, Value firstPosition) {
  auto inBlock = [&](Value position) -> Value {
    return arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(),
                                   kernel.sub(position, firstPosition));
  };
  Value position = kernel.add(tile.position, token);
  Seen seen{{}, inBlock(position)};
  if (Value oldest = oldestSeen(position))
    seen.first = inBlock(oldest);
  return seen;
}

/// Which of the 16 keys from `firstKey` (i64) on are seen.
Value Attention::mask(const Seen &seen, Value firstKey) {
  auto words = cast<VectorType>(kernel.lanes(kernel.i32()));
  auto numbers = llvm::to_vector(llvm::seq<int32_t>(0, kLanes));
  Value lane = arith::ConstantOp::create(kernel.builder, kernel.loc,
                                         DenseElementsAttr::get(words, ArrayRef(numbers)));
  Value first = arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), firstKey);
  Value key = kernel.add(lane, kernel.broadcast(first));
  Value inside = kernel.compare(arith::CmpIPredicate::sle, key, kernel.broadcast(seen.last));
  if (!seen.first)
    return inside;
  return arith::AndIOp::create(
      kernel.builder, kernel.loc, inside,
      kernel.compare(arith::CmpIPredicate::sge, key, kernel.broadcast(seen.first)));
}

/// body(row, what it sees) for all rows; with null where all rows see all keys.
void Attention::forRows(Value firstPosition, Value masked,
                        function_ref<void(Value row, const Seen *seen)> body) {
  auto choice = scf::IfOp::create(kernel.builder, kernel.loc, masked, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(kernel.builder);
  kernel.builder.setInsertionPointToStart(choice.thenBlock());
  kernel.loop(kernel.integer(0), tile.rows, 1, [&](Value token) {
    const Seen seen = seenBy(token, firstPosition);
    kernel.loop(kernel.integer(0), group, 1,
                [&](Value head) { body(kernel.add(kernel.mul(token, group), head), &seen); });
  });
  kernel.builder.setInsertionPointToStart(choice.elseBlock());
  kernel.loop(kernel.integer(0), heads, 1, [&](Value row) { body(row, nullptr); });
}

void Attention::findLargest(Value row, const KeyRange &keys, const Seen *seen) {
  Type floats = kernel.lanes(kernel.f32());
  Value lowest = kernel.number(floats, kLowest);
  Value largest = kernel.loop(keys.begin, keys.end, kLanes, lowest,
                              [&](Value key, ValueRange now) -> SmallVector<Value> {
                                Value score = kernel.load(floats, scoreAt(row, key));
                                if (seen)
                                  score = kernel.select(mask(*seen, key), score, lowest);
                                return {kernel.max(now[0], score)};
                              })[0];
  kernel.store(kernel.maxOfLanes(largest), entry(layout.largest, row));
}

// Sixteen rows at a time. 2^0 is exactly 1: where the peak stays, so do the older sums.
void Attention::raisePeaks() {
  Type floats = kernel.lanes(kernel.f32());
  kernel.loop(kernel.integer(0), heads, kLanes, [&](Value row) {
    Value before = kernel.load(floats, entry(layout.peaks, row));
    Value largest = kernel.load(floats, entry(layout.largest, row));
    Value peak = kernel.max(before, kernel.mul(largest, kernel.number(floats, scale)));
    kernel.store(peak, entry(layout.peaks, row));
    kernel.store(emitExp2OfMinus(kernel, kernel.sub(before, peak)), entry(layout.factors, row));
  });
}

void Attention::weigh(Value row, const KeyRange &keys, const Seen *seen) {
  Type floats = kernel.lanes(kernel.f32());
  Value zeros = kernel.number(floats, 0), scales = kernel.number(floats, scale);
  auto load = [&](int64_t part) {
    return kernel.broadcast(kernel.load(kernel.f32(), entry(part, row)));
  };
  Value minusPeak = kernel.sub(zeros, load(layout.peaks));
  Value weights = scoreAt(row, kernel.integer(0));
  Value sum = kernel.loop(
      keys.begin, keys.end, kLanes, zeros, [&](Value key, ValueRange now) -> SmallVector<Value> {
        Value score = kernel.load(floats, scoreAt(row, key));
        Value weight = emitExp2OfMinus(kernel, kernel.fma(score, scales, minusPeak));
        if (seen)
          weight = kernel.select(mask(*seen, key), weight, zeros);
        Value rounded = kernel.round(shape.element, weight);
        if (weightElement != shape.element)
          rounded = kernel.widen(rounded);
        kernel.store(rounded, kernel.address(weights, weightElement, key));
        return {kernel.add(now[0], weight)};
      })[0];
  Value total = kernel.load(floats, totalsAt(row));
  kernel.store(kernel.fma(total, load(layout.factors), sum), totalsAt(row));
}

/// The values of a latent cache's block, made of its keys in the scratch memory.
Value Attention::layOutValues(Value keys, const KeyRange &range) {
  Type floats = kernel.lanes(kernel.f32());
  const bool pairs = bytesOf(shape.element) == 2;
  const int64_t perLine = pairs ? 2 : 1; // entries of 16 tokens that a line holds
  auto turn = [&](Value panel, Value column, int64_t count) {
    Value firstLine = kernel.add(kernel.mul(panel, kernel.integer(shape.keyDepth() / perLine)),
                                 kernel.div(column, kernel.integer(perLine)));
    SmallVector<Value> vectors;
    for (int64_t i = 0; i < count; ++i) {
      Value line = kernel.add(firstLine, kernel.integer(i / perLine));
      Value at = kernel.address(keys, floats, line);
      vectors.push_back(pairs ? kernel.widenHalf(kernel.load(kernel.lanes(kernel.i32()), at), i % 2)
                              : kernel.load(floats, at));
    }
    vectors.resize(kLanes, kernel.number(floats, 0));
    emitTranspose(kernel, vectors);
    Value row = kernel.add(
        kernel.mul(kernel.div(column, kernel.integer(kLanes)), kernel.integer(shape.block)),
        kernel.mul(panel, kernel.integer(kLanes)));
    for (auto [token, vector] : llvm::enumerate(vectors))
      kernel.store(vector, kernel.address(at(layout.values), floats,
                                          kernel.add(row, kernel.integer(token))));
  };
  Value lanes = kernel.integer(kLanes);
  const int64_t rest = shape.values % kLanes, whole = shape.values - rest;
  kernel.loop(kernel.div(range.begin, lanes), kernel.div(range.end, lanes), 1, [&](Value panel) {
    kernel.loop(kernel.integer(0), kernel.integer(whole), kLanes,
                [&](Value column) { turn(panel, column, kLanes); });
    if (rest > 0)
      turn(panel, kernel.integer(whole), rest);
  });
  return at(layout.values);
}

void Attention::addBlock(Value number, Value last) {
  const AttentionBlock block = tile.block(number);
  const AttentionBlock next =
      tile.gathers ? block : tile.block(kernel.min(kernel.add(number, kernel.integer(1)), last));
  Value size = kernel.integer(shape.block), firstPosition = kernel.mul(number, size);
  const KeyRange keys = seenKeys(firstPosition);
  // What is read after the keys: values, or the next keys.
  Value after = shape.latent ? next.keys : block.values;
  callAttentionScores(kernel, shape, at(layout.queries), heads, block.keys, at(layout.scores),
                      keys.begin, keys.end, after);
  // Most blocks are seen whole, by all rows.
  Value masked = kernel.compare(arith::CmpIPredicate::slt, tile.position,
                                kernel.add(firstPosition, kernel.integer(shape.block - 1)));
  if (Value oldest = oldestSeen(lastPosition))
    masked = arith::OrIOp::create(kernel.builder, kernel.loc, masked,
                                  kernel.compare(arith::CmpIPredicate::slt, firstPosition, oldest));
  forRows(firstPosition, masked,
          [&](Value row, const Seen *seen) { findLargest(row, keys, seen); });
  raisePeaks();
  forRows(firstPosition, masked, [&](Value row, const Seen *seen) { weigh(row, keys, seen); });
  Value values = shape.latent ? layOutValues(block.keys, keys) : block.values;
  callAttentionSums(kernel, shape, at(layout.scores), heads, values, at(layout.factors),
                    at(layout.sums), keys.begin, keys.end, next.keys);
}

void Attention::finish() {
  Type floats = kernel.lanes(kernel.f32());
  kernel.loop(kernel.integer(0), tile.rows, 1, [&](Value token) {
    kernel.loop(kernel.integer(0), group, 1, [&](Value head) {
      Value row = kernel.add(kernel.mul(token, group), head);
      Value total = kernel.broadcast(kernel.sumOfLanes(kernel.load(floats, totalsAt(row))));
      Value sums = entry(layout.sums, kernel.mul(row, kernel.integer(shape.valueWidth())));
      Value start = kernel.add(kernel.mul(token, tile.outStride),
                               kernel.mul(head, kernel.integer(shape.values)));
      Value out = kernel.address(tile.out, tile.outElement, start);
      for (int64_t column = 0; column < shape.values; column += kLanes) {
        Value sum = kernel.load(floats, kernel.address(sums, column * 4));
        Value mean = kernel.round(tile.outElement, kernel.div(sum, total));
        kernel.storeLanes(mean, kernel.address(out, column * bytesOf(tile.outElement)),
                          std::min(kLanes, shape.values - column));
      }
    });
  });
}

void Attention::emit() {
  begin();
  Value size = kernel.integer(shape.block), first = kernel.integer(0);
  if (Value oldest = oldestSeen(tile.position))
    first = kernel.div(kernel.max(oldest, first), size);
  Value last = kernel.div(lastPosition, size);
  kernel.loop(first, kernel.add(last, kernel.integer(1)), 1,
              [&](Value number) { addBlock(number, last); });
  finish();
}

int64_t moec::attentionScratchBytes(const AttentionShape &shape) {
  return ScratchLayout(shape).total;
}

void moec::emitAttention(CpuKernelBuilder &kernel, const AttentionShape &shape,
                         const AttentionTile &tile) {
  Attention(kernel, shape, tile).emit();
}
