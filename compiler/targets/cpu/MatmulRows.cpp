// The product function of weights as stored: lanes along K, and a tree over the lanes at the end.

#include "compiler/targets/cpu/ProductFunctions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace moec;

namespace {

/// A register tile: some rows of activations by some rows of the weight.
class StoredTile {
public:
  StoredTile(CpuKernelBuilder &kernel, const PanelShape &shape, Type activation)
      : kernel(kernel), shape(shape), activation(activation),
        dot(activation == kernel.bf16() && shape.element == kernel.bf16() &&
            kernel.target.hasBf16Dot()),
        stepDepth(dot ? 2 * kLanes : kLanes) {}

  /// Sums of the tile, [row][column], still to be folded over their lanes.
  SmallVector<Value> emit(ArrayRef<Value> rows, ArrayRef<Value> columns, bool prefetch);

private:
  SmallVector<Value> step(ArrayRef<Value> rows, ArrayRef<Value> columns, Value first,
                          SmallVector<Value> sums, int64_t depth, bool prefetch);

  CpuKernelBuilder &kernel;
  const PanelShape &shape;
  const Type activation;
  const bool dot;
  const int64_t stepDepth; // of K
};

} // namespace

/// Adds to `sums` the products of `depth` elements from `first` (i64) on.
SmallVector<Value> StoredTile::step(ArrayRef<Value> rows, ArrayRef<Value> columns, Value first,
                                    SmallVector<Value> sums, int64_t depth, bool prefetch) {
  auto load = [&](Type element, Value base, int64_t alignment) {
    Value from = kernel.address(base, element, first);
    Value values = kernel.loadLanes(element, from, depth, stepDepth, alignment);
    return dot ? values : kernel.widen(values);
  };
  SmallVector<Value> weights;
  for (Value column : columns) {
    weights.push_back(load(shape.element, column, /*alignment=*/1));
    // The same place of the rows that come next: stored rows are too short for the hardware to read
    // ahead well.
    if (prefetch)
      kernel.prefetch(
          kernel.address(kernel.address(column, shape.element, first),
                         int64_t(columns.size()) * shape.depth * bytesOf(shape.element)));
  }
  for (auto [r, row] : llvm::enumerate(rows)) {
    Value values = load(activation, row, bytesOf(activation));
    for (auto [c, weight] : llvm::enumerate(weights)) {
      Value &sum = sums[r * columns.size() + c];
      sum = dot ? kernel.bf16Dot(sum, values, weight) : kernel.fma(values, weight, sum);
    }
  }
  return sums;
}

SmallVector<Value> StoredTile::emit(ArrayRef<Value> rows, ArrayRef<Value> columns, bool prefetch) {
  SmallVector<Value> sums(rows.size() * columns.size(),
                          kernel.number(kernel.lanes(kernel.f32()), 0));
  constexpr int64_t unroll = 4;
  const int64_t steps = shape.depth / stepDepth, looped = steps / unroll * unroll;
  auto at = [&](Value begin, int64_t step) {
    return kernel.add(begin, kernel.integer(step * stepDepth));
  };
  Value zero = kernel.integer(0);
  if (looped > 0)
    sums = kernel.loop(zero, kernel.integer(looped * stepDepth), unroll * stepDepth, sums,
                       [&](Value first, ValueRange carried) {
                         SmallVector<Value> inner(carried);
                         for (int64_t u = 0; u < unroll; ++u)
                           inner = step(rows, columns, at(first, u), inner, stepDepth, prefetch);
                         return inner;
                       });
  for (int64_t u = looped; u < steps; ++u)
    sums = step(rows, columns, at(zero, u), sums, stepDepth, /*prefetch=*/false);
  if (shape.depth % stepDepth)
    sums = step(rows, columns, at(zero, steps), sums, shape.depth % stepDepth, /*prefetch=*/false);
  return sums;
}

/// The sums over the lanes of 2^n vectors; lane i of the result is that of vector i mod 2^n. One
/// tree for every vector: halves are added first, then quarters, and so on.
static Value foldTogether(CpuKernelBuilder &kernel, SmallVector<Value> vectors) {
  int64_t part = kLanes; // lanes that a vector's partial sums take
  const int64_t count = vectors.size();
  for (; vectors.size() > 1; part /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t lane = 0; lane < 2 * kLanes; ++lane)
      (lane % part < part / 2 ? low : high).push_back(lane);
    SmallVector<Value> joined;
    for (size_t i = 0; i < vectors.size(); i += 2)
      joined.push_back(kernel.add(kernel.shuffle(vectors[i], vectors[i + 1], low),
                                  kernel.shuffle(vectors[i], vectors[i + 1], high)));
    vectors = joined;
  }
  Value sums = vectors.front();
  for (int64_t half = part / 2; half > 0; half /= 2) {
    SmallVector<int64_t> other;
    for (int64_t lane = 0; lane < kLanes; ++lane)
      other.push_back(lane ^ half);
    sums = kernel.add(sums, kernel.shuffle(sums, sums, other));
  }
  SmallVector<int64_t> order;
  for (int64_t lane = 0; lane < kLanes; ++lane)
    order.push_back(lane % count * part);
  return kernel.shuffle(sums, sums, order);
}

/// Sums of `rows` with the 16 columns from `first` on, a vector per row; columns past the last one
/// repeat it.
static SmallVector<Value> sixteenColumns(CpuKernelBuilder &kernel, const PanelShape &shape,
                                         ArrayRef<Value> rows, Type activation, Value panel,
                                         Value first, bool prefetch) {
  const int64_t together = kernel.target.storedTileColumns;
  Type floats = kernel.lanes(kernel.f32()), words = kernel.lanes(kernel.i32());
  SmallVector<int32_t> groups;
  for (int64_t lane = 0; lane < kLanes; ++lane)
    groups.push_back(lane / together);
  Value groupOfLane =
      arith::ConstantOp::create(kernel.builder, kernel.loc,
                                DenseElementsAttr::get(cast<ShapedType>(words), ArrayRef(groups)));
  Value last = kernel.integer(shape.columns - 1);
  SmallVector<Value> zeros(rows.size(), kernel.number(floats, 0));
  return kernel.loop(
      kernel.integer(0), kernel.integer(kLanes / together), 1, zeros,
      [&](Value group, ValueRange results) {
        SmallVector<Value> columns;
        for (int64_t c = 0; c < together; ++c) {
          Value column = kernel.add(
              first, kernel.add(kernel.mul(group, kernel.integer(together)), kernel.integer(c)));
          column = kernel.mul(kernel.min(column, last), kernel.integer(shape.depth));
          columns.push_back(kernel.address(panel, shape.element, column));
        }
        SmallVector<Value> sums =
                               StoredTile(kernel, shape, activation).emit(rows, columns, prefetch),
                           merged;
        Value number = arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), group);
        Value mine =
            kernel.compare(arith::CmpIPredicate::eq, groupOfLane, kernel.broadcast(number));
        for (size_t r = 0; r < rows.size(); ++r) {
          ArrayRef<Value> ofRow = ArrayRef(sums).slice(r * together, together);
          merged.push_back(
              kernel.select(mine, foldTogether(kernel, SmallVector<Value>(ofRow)), results[r]));
        }
        return merged;
      });
}

/// The body of the function: `height` rows by all columns of the panel.
static void emitTile(CpuKernelBuilder &kernel, Type activation, const PanelShape &shape,
                     const TileOperands &tile, int64_t height, bool prefetch) {
  SmallVector<Value> rows = tile.loadRows(kernel, height);
  kernel.loop(kernel.integer(0), kernel.integer(shape.columns), kLanes, [&](Value column) {
    SmallVector<Value> sums =
        sixteenColumns(kernel, shape, rows, activation, tile.panel, column, prefetch);
    for (auto [row, sum] : llvm::enumerate(sums)) {
      Value at = kernel.add(column, kernel.integer(row * shape.width));
      kernel.store(sum, kernel.address(tile.sums, kernel.f32(), at));
    }
  });
}

void moec::callStoredProduct(CpuKernelBuilder &kernel, Type activation, const PanelShape &shape,
                             const TileOperands &tile) {
  assert(shape.width == roundUpTo(shape.columns, kLanes) && "the name tells the columns alone");
  // What lies past a row's end may not be read, so K is a constant here.
  std::string name = productName("stored_product", activation, shape.element) + "_" +
                     std::to_string(shape.depth) + "x" + std::to_string(shape.columns);
  kernel.call(name, tile.asArguments(), [&](CpuKernelBuilder &inside, ValueRange arguments) {
    const auto operands = TileOperands::fromArguments(arguments);
    const int64_t tallest = inside.target.storedTileRows;
    inside.dispatch(operands.height, 1, tallest, [&](int64_t height) {
      auto emit = [&](bool prefetch) {
        emitTile(inside, activation, shape, operands, height, prefetch);
      };
      if (height <= tallest / 2) // no other tile, or too few rows to notice
        return emit(true);
      // Tiles after the first find the weights in the caches, and would only lose time by asking.
      auto isFirst = [&](arith::CmpIPredicate how) {
        return inside.compare(how, operands.number, inside.integer(0));
      };
      inside.when(isFirst(arith::CmpIPredicate::eq), [&] { emit(true); });
      inside.when(isFirst(arith::CmpIPredicate::ne), [&] { emit(false); });
    });
  });
}
