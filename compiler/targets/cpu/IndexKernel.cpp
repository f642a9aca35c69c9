// Scores block by block, then the largest of them: a search for the least score that is chosen, bit
// by bit, and a pass that collects.

#include "compiler/targets/cpu/IndexKernel.h"

#include "compiler/targets/SortKey.h"
#include "compiler/targets/cpu/AttentionProducts.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <limits>

using namespace mlir;
using namespace moec;

using arith::CmpIPredicate;

namespace {

class Index {
public:
  Index(CpuKernelBuilder &kernel, const IndexShape &shape, const IndexTile &tile)
      : kernel(kernel), shape(shape), tile(tile), products{.element = shape.element,
                                                           .queries = kernel.f32(),
                                                           .size = shape.size,
                                                           .values = shape.size,
                                                           .latent = true,
                                                           .group = shape.heads,
                                                           .block = shape.block,
                                                           .rows = 1,
                                                           .window = 0,
                                                           .chunk = 0,
                                                           .scale = 1},
        words(kernel.lanes(kernel.i32())), count(kernel.add(tile.position, kernel.integer(1))),
        // Whole vectors, whose last lanes are below all others.
        end(kernel.mul(
            kernel.div(kernel.add(tile.position, kernel.integer(kLanes)), kernel.integer(kLanes)),
            kernel.integer(kLanes))),
        queries(tile.scratch), scores(kernel.address(queries, queryBytes(shape))),
        keys(kernel.address(scores, scoreBytes(shape))) {}

  static int64_t queryBytes(const IndexShape &shape) {
    return roundUpTo(shape.heads * panelDepth(shape.size, bytesOf(shape.element)) * 4, 64);
  }
  static int64_t scoreBytes(const IndexShape &shape) { return shape.heads * shape.block * 4; }

  void chooseAll();
  void chooseBest();

private:
  void packQueries();
  void scoreBlock(Value number);
  Value sortKeys(Value numbers, Value first);
  Value countFrom(Value least);
  Value findLeast();
  Value keyAt(Value position) { return kernel.address(keys, kernel.i32(), position); }
  Value toWord(Value integer) {
    return arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), integer);
  }
  void put(Value number, Value at) {
    kernel.store(toWord(number), kernel.address(tile.out, kernel.i32(), at));
  }

  CpuKernelBuilder &kernel;
  const IndexShape &shape;
  const IndexTile &tile;
  const AttentionShape products;
  const Type words;
  const Value count, end;
  const Value queries, scores; ///< rows by heads
  const Value keys;            ///< i32, one a position: they order as the scores do
};

} // namespace

void Index::chooseAll() {
  put(count, kernel.integer(0));
  kernel.loop(kernel.integer(0), count, 1,
              [&](Value position) { put(position, kernel.add(position, kernel.integer(1))); });
}

void Index::packQueries() {
  const int64_t depth = products.keyDepth();
  kernel.loop(kernel.integer(0), kernel.integer(shape.heads), 1, [&](Value head) {
    Value from =
        kernel.address(tile.queries, kernel.f32(), kernel.mul(head, kernel.integer(shape.size)));
    Value to = kernel.address(queries, kernel.f32(), kernel.mul(head, kernel.integer(depth)));
    kernel.forColumns(shape.size, [&](Value column, int64_t lanes) {
      // What pads a pair is one of the lanes that loadLanes clears.
      kernel.storeLanes(
          kernel.loadLanes(kernel.f32(), kernel.address(from, kernel.f32(), column), lanes),
          kernel.address(to, kernel.f32(), column), std::min(kLanes, lanes + depth - shape.size));
    });
  });
}

/// Sort keys of 16 positions' scores from `first` on; the smallest for those behind the token's
/// own.
Value Index::sortKeys(Value numbers, Value first) {
  Value key = emitSortKey(kernel, numbers);
  auto lanes = llvm::to_vector(llvm::seq<int32_t>(0, kLanes));
  Value lane = arith::ConstantOp::create(
      kernel.builder, kernel.loc, DenseElementsAttr::get(cast<ShapedType>(words), ArrayRef(lanes)));
  Value position = kernel.add(lane, kernel.broadcast(toWord(first)));
  Value isSeen =
      kernel.compare(CmpIPredicate::sle, position, kernel.broadcast(toWord(tile.position)));
  return kernel.select(isSeen, key, kernel.integer(words, std::numeric_limits<int32_t>::min()));
}

void Index::scoreBlock(Value number) {
  Type floats = kernel.lanes(kernel.f32());
  Value size = kernel.integer(shape.block), first = kernel.mul(number, size);
  Value last = kernel.min(kernel.sub(end, first), size), block = tile.block(number);
  callAttentionScores(kernel, products, queries, kernel.integer(shape.heads), block, scores,
                      kernel.integer(0), last, block);
  kernel.loop(kernel.integer(0), last, kLanes, [&](Value key) {
    Value sum = kernel.loop(
        kernel.integer(0), kernel.integer(shape.heads), 1, ValueRange{kernel.number(floats, 0)},
        [&](Value head, ValueRange now) -> SmallVector<Value> {
          Value at = kernel.address(scores, kernel.f32(), kernel.add(kernel.mul(head, size), key));
          Value score = kernel.max(kernel.number(floats, 0), kernel.load(floats, at));
          Value weight =
              kernel.load(kernel.f32(), kernel.address(tile.weights, kernel.f32(), head));
          return {kernel.fma(kernel.broadcast(weight), score, now[0])};
        })[0];
    Value position = kernel.add(first, key);
    sum = kernel.mul(sum, kernel.number(floats, shape.scale));
    kernel.store(sortKeys(sum, position), keyAt(position));
  });
}

/// How many keys are no less than `least` (i64).
Value Index::countFrom(Value least) {
  Value bound = kernel.broadcast(toWord(least)), one = kernel.integer(words, 1),
        none = kernel.integer(words, 0);
  Value sums = kernel.loop(kernel.integer(0), end, kLanes, ValueRange{none},
                           [&](Value position, ValueRange now) -> SmallVector<Value> {
                             Value key = kernel.load(words, keyAt(position));
                             Value isAbove = kernel.compare(CmpIPredicate::sge, key, bound);
                             return {kernel.add(now[0], kernel.select(isAbove, one, none))};
                           })[0];
  return arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), kernel.sumOfLanes(sums));
}

/// The largest key that as many as are to be chosen are no less than.
Value Index::findLeast() {
  Value low = kernel.integer(std::numeric_limits<int32_t>::min()),
        high = kernel.integer(std::numeric_limits<int32_t>::max()), one = kernel.integer(1);
  return kernel.loop(kernel.integer(0), kernel.integer(32), 1, ValueRange{low, high},
                     [&](Value, ValueRange now) -> SmallVector<Value> {
                       Value span = kernel.add(kernel.sub(now[1], now[0]), one);
                       Value middle = kernel.add(now[0], kernel.shiftRight(span, 1));
                       Value isEnough = kernel.compare(CmpIPredicate::sge, countFrom(middle),
                                                       kernel.integer(shape.chosen));
                       return {kernel.select(isEnough, middle, now[0]),
                               kernel.select(isEnough, now[1], kernel.sub(middle, one))};
                     })[0];
}

void Index::chooseBest() {
  packQueries();
  Value blocks = kernel.div(kernel.add(tile.position, kernel.integer(shape.block)),
                            kernel.integer(shape.block));
  kernel.loop(kernel.integer(0), blocks, 1, [&](Value number) { scoreBlock(number); });
  Value least = findLeast(), one = kernel.integer(1), chosen = kernel.integer(shape.chosen);
  Value above = countFrom(kernel.add(least, one));
  put(chosen, kernel.integer(0));
  // Of those that are equal to the least, the first.
  kernel.loop(kernel.integer(0), count, 1, ValueRange{kernel.integer(0), kernel.sub(chosen, above)},
              [&](Value position, ValueRange now) -> SmallVector<Value> {
                Value key = arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(),
                                                   kernel.load(kernel.i32(), keyAt(position)));
                Value isAbove = kernel.compare(CmpIPredicate::sgt, key, least);
                Value isEqual = arith::AndIOp::create(
                    kernel.builder, kernel.loc, kernel.compare(CmpIPredicate::eq, key, least),
                    kernel.compare(CmpIPredicate::sgt, now[1], kernel.integer(0)));
                Value isTaken = arith::OrIOp::create(kernel.builder, kernel.loc, isAbove, isEqual);
                kernel.when(isTaken, [&] { put(position, kernel.add(now[0], one)); });
                return {kernel.select(isTaken, kernel.add(now[0], one), now[0]),
                        kernel.select(isEqual, kernel.sub(now[1], one), now[1])};
              });
}

int64_t moec::indexScratchBytes(const IndexShape &shape) {
  return Index::queryBytes(shape) + Index::scoreBytes(shape) +
         roundUpTo(shape.context, shape.block) * 4;
}

void moec::emitChooseKeys(CpuKernelBuilder &kernel, const IndexShape &shape,
                          const IndexTile &tile) {
  Index index(kernel, shape, tile);
  Value few = kernel.compare(CmpIPredicate::slt, tile.position, kernel.integer(shape.chosen));
  kernel.when(few, [&] { index.chooseAll(); });
  Value many = kernel.compare(CmpIPredicate::sge, tile.position, kernel.integer(shape.chosen));
  kernel.when(many, [&] { index.chooseBest(); });
}
