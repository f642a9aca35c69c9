// The product function of the packed layout: lanes along N, no horizontal sums, weights streamed
// once per row tile.

#include "compiler/targets/cpu/MatrixTiles.h"
#include "compiler/targets/cpu/PanelStep.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

namespace {

/// The body of a product function: register tiles of some rows by some vectors of columns, over all
/// of K.
class PanelProduct {
public:
  PanelProduct(CpuKernelBuilder &kernel, Type activation, Type element, const TileOperands &tile,
               Value depth, Value vectors)
      : kernel(kernel), step(kernel, activation, element), tile(tile), depth(depth),
        vectors(vectors), stride(kernel.mul(vectors, kernel.integer(step.lineBytes))),
        steps(kernel.div(depth, kernel.integer(step.depth))) {}

  /// Many rows ask the caches for the panel that follows, few for what comes next.
  void emit();
  /// The same by matrix registers.
  void emitMatrices();

private:
  /// Where a register tile reads, and what it asks for beside; all but lineStride advance with K.
  struct Sources {
    SmallVector<Value> rows;
    Value weights, lines;
    Value lineStride; // bytes from one of `lines` to the next
  };

  Sources sourcesOf(ArrayRef<Value> rows, Value from);
  void emitPass(ArrayRef<Value> rows, int64_t taken, Value from);
  void emitTail(Value number, Value vector, Value begin);
  SmallVector<Value> run(Value begin, Value end, int64_t unroll, const Sources &start,
                         ArrayRef<Value> sums, bool half = false);
  SmallVector<Value> emitSteps(const Sources &start, Value first, int64_t count,
                               SmallVector<Value> sums, bool half = false);

  CpuKernelBuilder &kernel;
  const PanelStep step;
  const TileOperands &tile;
  const Value depth;   // K
  const Value vectors; // of the panel
  const Value stride;  // bytes of the panel in a step
  const Value steps;   // whole ones
};

} // namespace

/// The sums after `count` steps from the `first`th (i64) on.
SmallVector<Value> PanelProduct::emitSteps(const Sources &start, Value first, int64_t count,
                                           SmallVector<Value> sums, bool half) {
  Value rowStride = kernel.integer(step.activationBytes);
  auto advance = [&](Value base, Value bytes) {
    return base ? kernel.addressBytes(base, bytes) : Value();
  };
  auto skip = [&](Value base, Value bytes) {
    return base ? kernel.addressBytes(base, kernel.mul(first, bytes)) : Value();
  };
  Sources now = start;
  for (Value &row : now.rows)
    row = skip(row, rowStride);
  now.weights = skip(start.weights, stride);
  now.lines = skip(start.lines, start.lineStride);
  for (int64_t s = 0; s < count; ++s) {
    sums = step.emit(now.rows, now.weights, std::move(sums), half);
    if (now.lines)
      kernel.prefetch(now.lines);
    else if (waitsForMemory(now.rows.size(), kernel.target.tileRows))
      askAhead(kernel, kernel.target.floatAhead, now.weights,
               sums.size() / now.rows.size() * step.lineBytes);
    for (Value &row : now.rows)
      row = kernel.address(row, step.activationBytes);
    now.weights = advance(now.weights, stride);
    now.lines = advance(now.lines, start.lineStride);
  }
  return sums;
}

/// The sums after the steps from `begin` to `end`, a multiple of `unroll` of them.
SmallVector<Value> PanelProduct::run(Value begin, Value end, int64_t unroll, const Sources &start,
                                     ArrayRef<Value> sums, bool half) {
  return kernel.loop(begin, end, unroll, sums, [&](Value first, ValueRange carried) {
    return emitSteps(start, first, unroll, SmallVector<Value>(carried), half);
  });
}

/// What the pass over the vectors from `from` (i64) on reads and asks for.
PanelProduct::Sources PanelProduct::sourcesOf(ArrayRef<Value> rows, Value from) {
  Value offset = kernel.mul(from, kernel.integer(step.lineBytes));
  Sources sources{SmallVector<Value>(rows), kernel.addressBytes(tile.panel, offset), {}, {}};
  if (!waitsForMemory(rows.size(), kernel.target.tileRows)) {
    // Many rows multiply long enough for the next panel to arrive meanwhile: the first pass of the
    // first tiles asks for a part of it each, a line per step; all others ask again for what is
    // there.
    Value last = kernel.sub(vectors, kernel.integer(1));
    Value allSteps =
        kernel.div(kernel.add(depth, kernel.integer(step.depth - 1)), kernel.integer(step.depth));
    Value part = kernel.mul(kernel.add(vectors, kernel.min(tile.number, last)), allSteps);
    sources.lines =
        kernel.addressBytes(tile.panel, kernel.mul(part, kernel.integer(step.lineBytes)));
    Value first = arith::AndIOp::create(
        kernel.builder, kernel.loc, kernel.compare(arith::CmpIPredicate::slt, tile.number, vectors),
        kernel.compare(arith::CmpIPredicate::eq, from, kernel.integer(0)));
    sources.lineStride = kernel.select(first, kernel.integer(step.lineBytes), kernel.integer(0));
  }
  return sources;
}

/// The product of the rows with the `taken` vectors from `from` (i64) on.
void PanelProduct::emitPass(ArrayRef<Value> rows, int64_t taken, Value from) {
  const Sources sources = sourcesOf(rows, from);
  Sources quiet = sources; // for the few steps left over
  quiet.lines = Value();
  const size_t count = rows.size() * taken;
  const SmallVector<Value> zeros(count, kernel.number(kernel.lanes(kernel.f32()), 0));
  auto place = [&](size_t index) {
    return kernel.address(tile.sums, kernel.lanes(kernel.f32()),
                          sumVector(kernel, vectors, index, taken, from));
  };
  // Tiles of few sums have short loops.
  const int64_t unroll = count * kLanes * 4 >= size_t(kernel.target.tileLanes) ? 2 : 4;
  auto whole = [&](Value number) {
    return kernel.sub(number, kernel.rem(number, kernel.integer(unroll)));
  };

  // The two halves of K: few rows wait for memory, which gives more to two streams of reads.
  Value begin = kernel.integer(0), middle = kernel.div(steps, kernel.integer(2));
  Value lowEnd = whole(middle), highEnd = kernel.add(middle, whole(kernel.sub(steps, middle)));
  SmallVector<Value> low, high;
  if (readsHalvesTogether(kernel.target, count)) {
    SmallVector<Value> both(2 * count, zeros.front());
    both = kernel.loop(begin, lowEnd, unroll, both, [&](Value first, ValueRange carried) {
      SmallVector<Value> sums =
          emitSteps(sources, first, unroll, SmallVector<Value>(carried.take_front(count)));
      sums.append(emitSteps(sources, kernel.add(middle, first), unroll,
                            SmallVector<Value>(carried.drop_front(count))));
      return sums;
    });
    low.assign(both.begin(), both.begin() + count);
    high.assign(both.begin() + count, both.end());
    highEnd = kernel.add(middle, lowEnd);
  } else {
    low = run(begin, lowEnd, unroll, sources, zeros);
  }
  // In memory meanwhile: there are no registers for both.
  for (auto [index, sum] : llvm::enumerate(run(lowEnd, middle, 1, quiet, low)))
    kernel.store(sum, place(index));
  if (high.empty())
    high = run(middle, highEnd, unroll, sources, zeros);
  high = run(highEnd, steps, 1, quiet, high);
  if (step.depth == 2) {
    Value odd = kernel.add(steps, kernel.rem(depth, kernel.integer(2)));
    high = run(steps, odd, 1, quiet, high, /*half=*/true);
  }
  for (auto [index, sum] : llvm::enumerate(high)) {
    Value at = place(index);
    kernel.store(kernel.add(kernel.load(sum.getType(), at), sum), at);
  }
}

void PanelProduct::emit() {
  emitRegisterTiles(
      kernel, tile, vectors, kernel.target.tileRows, kernel.target.tileLanes,
      [&](ArrayRef<Value> rows, int64_t taken, Value from) { emitPass(rows, taken, from); });
}

// Steps of matrix registers' whole depth, in order, and what is left of K after that.
void PanelProduct::emitMatrices() {
  MatrixTiles matrices(kernel, tile, vectors);
  const int64_t stepPairs = step.lineBytes / step.activationBytes;
  Value whole = kernel.div(steps, kernel.integer(stepPairs));
  Value isLong = kernel.compare(arith::CmpIPredicate::sgt, whole, kernel.integer(0));
  kernel.when(isLong, [&] {
    matrices.emit({.rows = matrices.firstRow(),
                   .weights = tile.panel,
                   .sums = tile.sums,
                   .groups = kernel.integer(1),
                   .steps = whole,
                   .stepBytes = step.lineBytes,
                   .integers = false});
  });
  Value begin = kernel.mul(whole, kernel.integer(stepPairs));
  Value isLeft =
      kernel.compare(arith::CmpIPredicate::slt, kernel.mul(begin, kernel.integer(2)), depth);
  kernel.when(isLeft, [&] {
    kernel.loop(kernel.integer(0), tile.height, 1, [&](Value row) {
      kernel.loop(kernel.integer(0), vectors, 1,
                  [&](Value vector) { emitTail(row, vector, begin); });
    });
  });
}

/// Adds the products from step `begin` (i64) on to the sums of one row with one vector.
void PanelProduct::emitTail(Value number, Value vector, Value begin) {
  Value row = kernel.load(kernel.pointer(), kernel.address(tile.rows, kernel.pointer(), number));
  Value weights =
      kernel.addressBytes(tile.panel, kernel.mul(vector, kernel.integer(step.lineBytes)));
  const Sources sources{{row}, weights, {}, {}};
  const Type floats = kernel.lanes(kernel.f32());
  Value place = kernel.address(tile.sums, floats, kernel.add(kernel.mul(number, vectors), vector));
  Value isFirst = kernel.compare(arith::CmpIPredicate::eq, begin, kernel.integer(0));
  SmallVector<Value> sums{
      kernel.select(isFirst, kernel.number(floats, 0), kernel.load(floats, place))};
  sums = run(begin, steps, 1, sources, sums);
  Value odd = kernel.add(steps, kernel.rem(depth, kernel.integer(2)));
  sums = run(steps, odd, 1, sources, sums, /*half=*/true);
  kernel.store(sums.front(), place);
}

void moec::callPanelProduct(CpuKernelBuilder &kernel, Type activation, const PanelShape &shape,
                            const TileOperands &tile) {
  std::string name = productName("product", activation, shape.element);
  SmallVector<Value> arguments = tile.asArguments();
  arguments.push_back(kernel.integer(shape.depth));
  arguments.push_back(kernel.integer(shape.width / kLanes));
  kernel.call(name, arguments, [&](CpuKernelBuilder &inside, ValueRange given) {
    const auto operands = TileOperands::fromArguments(given);
    given = given.drop_front(TileOperands::kCount);
    Value depth = given[0], vectors = given[1];
    PanelProduct product(inside, activation, shape.element, operands, depth, vectors);
    if (multipliesMatrices(inside.target, activation, shape))
      product.emitMatrices();
    else
      product.emit();
  });
}
