// The attention kernel: both products by register tiles, and between them a step of the online
// softmax.

#include "compiler/targets/cpu/AttentionKernel.h"

#include "compiler/targets/cpu/ElementaryFunctions.h"
#include "compiler/targets/cpu/MatmulKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <limits>

using namespace mlir;
using namespace moec;

namespace {

/// Where a tile's state lies in the scratch memory; R rows, one per token and head. Bytes.
struct ScratchLayout {
  explicit ScratchLayout(const AttentionShape &shape) {
    const int64_t rows = shape.rows * shape.group;
    auto take = [this](int64_t bytes) {
      const int64_t at = total;
      total += roundUpTo(bytes, 64);
      return at;
    };
    queries = take(rows * shape.size * bytesOf(shape.element));
    scores = take(rows * shape.block * 4);
    weights = take(rows * shape.block * bytesOf(shape.element));
    sums = take(rows * shape.valueWidth() * 4);
    peaks = take(rows * 4);
    totals = take(rows * 4);
    factors = take(rows * 4);
  }

  int64_t total = 0;
  int64_t queries; ///< [R][d], adjacent
  int64_t scores;  ///< [R][B] f32
  int64_t weights; ///< [R][B] e^(score - peak), as the product takes it
  int64_t sums;    ///< [R][D] f32: weighted sums of values
  int64_t peaks;   ///< [R] f32: largest score so far
  int64_t totals;  ///< [R] f32: sum of weights
  int64_t factors; ///< [R] f32: what older sums are multiplied by
};

class Attention {
public:
  Attention(KernelBuilder &kernel, const AttentionShape &shape, const AttentionTile &tile)
      : kernel(kernel), shape(shape), tile(tile), layout(shape), group(kernel.integer(shape.group)),
        heads(kernel.mul(tile.rows, group)) {}

  void emit();

private:
  void begin();
  void addBlock(Value number, Value last);
  void softmaxRow(Value row, Value last, Value firstKey);
  void finish();
  Value at(int64_t part) { return kernel.address(tile.scratch, part); }
  Value entry(int64_t part, Value row) { return kernel.address(at(part), kernel.f32(), row); }

  /// body(token, row) for all tokens and heads.
  void forRows(function_ref<void(Value token, Value head, Value row)> body) {
    kernel.loop(kernel.integer(0), tile.rows, 1, [&](Value token) {
      kernel.loop(kernel.integer(0), group, 1, [&](Value head) {
        body(token, head, kernel.add(kernel.mul(token, group), head));
      });
    });
  }

  KernelBuilder &kernel;
  const AttentionShape &shape;
  const AttentionTile &tile;
  const ScratchLayout layout;
  const Value group, heads;
};

} // namespace

// Queries go side by side: in their rows they are a power of two apart, which the first cache level
// does not like.
void Attention::begin() {
  const int64_t run = shape.group * shape.size;
  kernel.loop(kernel.integer(0), tile.rows, 1, [&](Value token) {
    Value from = kernel.address(tile.queries, shape.element, kernel.mul(token, tile.queryStride));
    Value to =
        kernel.address(at(layout.queries), shape.element, kernel.mul(token, kernel.integer(run)));
    kernel.forColumns(run, [&](Value offset, int64_t lanes) {
      Value values =
          kernel.loadLanes(shape.element, kernel.address(from, shape.element, offset), lanes);
      kernel.storeLanes(values, kernel.address(to, shape.element, offset), lanes);
    });
  });
  Value zero = kernel.number(kernel.f32(), 0), zeros = kernel.number(kernel.lanes(kernel.f32()), 0);
  kernel.loop(kernel.integer(0), heads, 1, [&](Value row) {
    kernel.store(kernel.number(kernel.f32(), -std::numeric_limits<float>::max()),
                 entry(layout.peaks, row));
    kernel.store(zero, entry(layout.totals, row));
  });
  kernel.loop(kernel.integer(0), kernel.mul(heads, kernel.integer(shape.valueWidth())), kLanes,
              [&](Value offset) { kernel.store(zeros, entry(layout.sums, offset)); });
}

// One row's scores in a block, of which keys firstKey to `last` (within the block) are seen, become
// weights.
void Attention::softmaxRow(Value row, Value last, Value firstKey) {
  Type floats = kernel.lanes(kernel.f32()), words = kernel.lanes(kernel.i32());
  auto compare = [&](arith::CmpIPredicate how, Value lanes, Value bound) -> Value {
    return kernel.compare(how, lanes, kernel.broadcast(bound));
  };
  const int64_t vectors = shape.block / kLanes;
  Value start = kernel.mul(row, kernel.integer(shape.block)), largest;
  SmallVector<Value> scores, seen;
  for (int64_t v = 0; v < vectors; ++v) {
    SmallVector<int32_t> numbers;
    for (int64_t lane = 0; lane < kLanes; ++lane)
      numbers.push_back(v * kLanes + lane);
    Value keys = arith::ConstantOp::create(
        kernel.builder, kernel.loc,
        DenseElementsAttr::get(cast<ShapedType>(words), ArrayRef(numbers)));
    seen.push_back(compare(arith::CmpIPredicate::sle, keys, last));
    if (firstKey)
      seen.back() = arith::AndIOp::create(kernel.builder, kernel.loc, seen.back(),
                                          compare(arith::CmpIPredicate::sge, keys, firstKey));
    Value from = entry(layout.scores, kernel.add(start, kernel.integer(v * kLanes)));
    Value score = kernel.mul(kernel.load(floats, from), kernel.number(floats, shape.scale));
    scores.push_back(
        kernel.select(seen[v], score, kernel.number(floats, -std::numeric_limits<float>::max())));
    largest = v == 0 ? scores[v] : kernel.max(largest, scores[v]);
  }
  Value before = kernel.load(kernel.f32(), entry(layout.peaks, row));
  Value peak = kernel.max(before, kernel.maxOfLanes(largest));
  kernel.store(peak, entry(layout.peaks, row));
  // e^0 is exactly 1: where the peak stays, so do the older sums.
  Value factor = emitExp(kernel, kernel.sub(before, peak));
  kernel.store(factor, entry(layout.factors, row));
  Value sum, peaks = kernel.broadcast(peak);
  for (int64_t v = 0; v < vectors; ++v) {
    Value weight = emitExp(kernel, kernel.sub(scores[v], peaks));
    weight = kernel.select(seen[v], weight, kernel.number(floats, 0));
    sum = v == 0 ? weight : kernel.add(sum, weight);
    kernel.store(kernel.round(shape.element, weight),
                 kernel.address(at(layout.weights), shape.element,
                                kernel.add(start, kernel.integer(v * kLanes))));
  }
  Value total = kernel.load(kernel.f32(), entry(layout.totals, row));
  kernel.store(kernel.fma(total, factor, kernel.sumOfLanes(sum)), entry(layout.totals, row));
}

void Attention::addBlock(Value number, Value last) {
  // Blocks lie anywhere, so the hardware cannot guess the next one.
  const AttentionBlock block = tile.block(number);
  const AttentionBlock next = tile.block(kernel.min(kernel.add(number, kernel.integer(1)), last));
  Type floats = kernel.lanes(kernel.f32());
  const ActivationRows queries{.base = at(layout.queries),
                               .element = shape.element,
                               .stride = kernel.integer(shape.size),
                               .count = heads};
  const PanelShape keys{
      .element = shape.element, .depth = shape.size, .width = shape.block, .columns = shape.block};
  emitPanelProduct(
      kernel, queries, keys, block.keys,
      [&](Value row, Value column, int64_t, ArrayRef<Value> sums) {
        Value to = kernel.add(kernel.mul(row, kernel.integer(shape.block)), column);
        kernel.store(sums[0], entry(layout.scores, to));
      },
      next.keys);

  Value firstPosition = kernel.mul(number, kernel.integer(shape.block));
  kernel.loop(kernel.integer(0), tile.rows, 1, [&](Value token) {
    auto inBlock = [&](Value position) -> Value {
      Value key = kernel.sub(position, firstPosition);
      return arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), key);
    };
    Value position = kernel.add(tile.position, token), firstKey;
    if (shape.window > 0)
      firstKey = inBlock(kernel.sub(position, kernel.integer(shape.window - 1)));
    Value lastKey = inBlock(position);
    kernel.loop(kernel.integer(0), group, 1, [&](Value head) {
      softmaxRow(kernel.add(kernel.mul(token, group), head), lastKey, firstKey);
    });
  });

  const ActivationRows weights{.base = at(layout.weights),
                               .element = shape.element,
                               .stride = kernel.integer(shape.block),
                               .count = heads};
  const PanelShape values{.element = shape.element,
                          .depth = shape.block,
                          .width = shape.valueWidth(),
                          .columns = shape.valueWidth()};
  emitPanelProduct(
      kernel, weights, values, block.values,
      [&](Value row, Value column, int64_t, ArrayRef<Value> sums) {
        Value to = kernel.add(kernel.mul(row, kernel.integer(shape.valueWidth())), column);
        Value older = kernel.load(floats, entry(layout.sums, to));
        Value factor = kernel.broadcast(kernel.load(kernel.f32(), entry(layout.factors, row)));
        kernel.store(kernel.fma(older, factor, sums[0]), entry(layout.sums, to));
      },
      next.values);
}

void Attention::finish() {
  forRows([&](Value token, Value head, Value row) {
    Value total = kernel.broadcast(kernel.load(kernel.f32(), entry(layout.totals, row)));
    Value sums = entry(layout.sums, kernel.mul(row, kernel.integer(shape.valueWidth())));
    Value start =
        kernel.add(kernel.mul(token, tile.outStride), kernel.mul(head, kernel.integer(shape.size)));
    Value out = kernel.address(tile.out, tile.outElement, start);
    for (int64_t column = 0; column < shape.size; column += kLanes) {
      Value sum = kernel.load(kernel.lanes(kernel.f32()), kernel.address(sums, column * 4));
      Value mean = kernel.round(tile.outElement, kernel.div(sum, total));
      kernel.storeLanes(mean, kernel.address(out, column * bytesOf(tile.outElement)),
                        std::min(kLanes, shape.size - column));
    }
  });
}

void Attention::emit() {
  begin();
  Value blockRows = kernel.integer(shape.block), first = kernel.integer(0);
  if (shape.window > 0) {
    Value oldest = kernel.sub(tile.position, kernel.integer(shape.window - 1));
    first = kernel.div(kernel.max(oldest, first), blockRows);
  }
  Value lastPosition = kernel.add(tile.position, kernel.sub(tile.rows, kernel.integer(1)));
  Value last = kernel.div(lastPosition, blockRows);
  kernel.loop(first, kernel.add(last, kernel.integer(1)), 1,
              [&](Value number) { addBlock(number, last); });
  finish();
}

int64_t moec::attentionScratchBytes(const AttentionShape &shape) {
  return ScratchLayout(shape).total;
}

void moec::emitAttention(KernelBuilder &kernel, const AttentionShape &shape,
                         const AttentionTile &tile) {
  Attention(kernel, shape, tile).emit();
}
