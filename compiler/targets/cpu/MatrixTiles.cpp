// Up to two tiles of rows by the up to three tiles of columns of a panel: six registers of sums,
// one of activations and one of weights.

#include "compiler/targets/cpu/MatrixTiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

static constexpr int64_t kLineBytes = 64, kWordBytes = 4;
static constexpr int64_t kMostTiles = 2;

/// Bytes from one row to the next.
static Value strideOf(CpuKernelBuilder &kernel, const TileOperands &tile, Value first) {
  Value others = kernel.sub(tile.height, kernel.integer(1));
  Value last = kernel.load(kernel.pointer(), kernel.address(tile.rows, kernel.pointer(), others));
  auto number = [&](Value pointer) -> Value {
    return LLVM::PtrToIntOp::create(kernel.builder, kernel.loc, kernel.i64(), pointer);
  };
  return kernel.div(kernel.sub(number(last), number(first)), kernel.max(others, kernel.integer(1)));
}

static Value divideCeil(CpuKernelBuilder &kernel, Value a, Value b) {
  return kernel.div(kernel.add(a, kernel.sub(b, kernel.integer(1))), b);
}

MatrixTiles::MatrixTiles(CpuKernelBuilder &kernel, const TileOperands &tile, Value vectors)
    : kernel(kernel), height(tile.height), vectors(vectors),
      tiles(divideCeil(kernel, height, kernel.integer(kMatrixRows))),
      tileRows(divideCeil(kernel, height, tiles)), first(kernel.load(kernel.pointer(), tile.rows)),
      rowStride(strideOf(kernel, tile, first)) {}

namespace {

/// The body of a function for so many tiles of rows by so many of columns, `bytes` of K a step.
class MatrixPass {
public:
  MatrixPass(CpuKernelBuilder &kernel, int64_t tiles, int64_t columns, int64_t bytes, bool integers,
             ValueRange given)
      : kernel(kernel), tiles(tiles), columns(columns), bytes(bytes), integers(integers),
        rows(given[0]), rowStride(given[1]), weights(given[2]), sums(given[3]), groups(given[4]),
        rowGroup(given[5]), weightGroup(given[6]), sumGroup(given[7]), steps(given[8]),
        second(given[9]), depth(given[12]), activationShape{given[10], depth},
        weightShape{given[13], given[11]}, sumShape{given[10], given[11]},
        lineStride(kernel.integer(columns * kLineBytes)) {}

  void emit();

private:
  SmallVector<Value> step(Value rows, Value weights, SmallVector<Value> now);
  /// What lies `stride` bytes a row behind that of the first tile.
  Value ofTile(int64_t tile, Value base, Value stride) {
    return tile == 0 ? base : kernel.addressBytes(base, kernel.mul(second, stride));
  }

  CpuKernelBuilder &kernel;
  const int64_t tiles, columns, bytes;
  const bool integers;
  // Arguments of the function.
  const Value rows, rowStride, weights, sums, groups, rowGroup, weightGroup, sumGroup, steps;
  const Value second; // the first row of the second tile
  const Value depth;  // bytes, i16
  const CpuKernelBuilder::MatrixShape activationShape, weightShape, sumShape;
  const Value lineStride; // of weights and sums
};

} // namespace

/// The sums, [tile][column], after one more step.
SmallVector<Value> MatrixPass::step(Value rows, Value weights, SmallVector<Value> now) {
  // Back and forth over the rows: the tile that ends one column begins the next.
  int64_t held = -1;
  Value activations;
  if (tiles == 1)
    askAhead(kernel, kernel.target.ahead, weights, bytes / kWordBytes * columns * kLineBytes);
  for (int64_t column = 0; column < columns; ++column) {
    Value weight =
        kernel.matrixLoad(weightShape, kernel.address(weights, column * kLineBytes), lineStride);
    for (int64_t turn = 0; turn < tiles; ++turn) {
      const int64_t tile = column % 2 ? tiles - 1 - turn : turn;
      if (tile != held)
        activations = kernel.matrixLoad(activationShape, ofTile(tile, rows, rowStride), rowStride);
      held = tile;
      Value &sum = now[tile * columns + column];
      sum = kernel.matrixDot(sumShape, depth, sum, activations, weight, integers);
    }
  }
  return now;
}

void MatrixPass::emit() {
  const Value rowStep = kernel.integer(bytes),
              weightStep = kernel.integer(bytes / kWordBytes * columns * kLineBytes);
  // Else LLVM makes loops of their own for no steps, where it sets up shapes by half.
  LLVM::AssumeOp::create(kernel.builder, kernel.loc,
                         kernel.compare(arith::CmpIPredicate::sgt, steps, kernel.integer(0)));
  kernel.loop(kernel.integer(0), groups, 1, [&](Value group) {
    Value groupRows = kernel.addressBytes(rows, kernel.mul(group, rowGroup));
    Value groupWeights = kernel.addressBytes(weights, kernel.mul(group, weightGroup));
    SmallVector<Value> results;
    for (int64_t i = 0; i < tiles * columns; ++i)
      results.push_back(kernel.matrixZero(sumShape));
    results =
        kernel.loop(kernel.integer(0), steps, 1, results, [&](Value number, ValueRange carried) {
          return step(kernel.addressBytes(groupRows, kernel.mul(number, rowStep)),
                      kernel.addressBytes(groupWeights, kernel.mul(number, weightStep)),
                      SmallVector<Value>(carried));
        });
    Value groupSums = kernel.addressBytes(sums, kernel.mul(group, sumGroup));
    for (int64_t i = 0; i < tiles * columns; ++i) {
      Value to = ofTile(i / columns, groupSums, lineStride);
      kernel.matrixStore(sumShape, results[i], kernel.address(to, i % columns * kLineBytes),
                         lineStride);
    }
  });
}

// A function for each number of tiles, since a function sets up the shapes of its registers once.
// The tiles of rows are equally high, as registers take turns with them. Where the number of rows
// is odd, the second begins with the row that ends the first: its sums are the same.
void MatrixTiles::emit(const MatrixOperands &operands) {
  const Value none = kernel.integer(0);
  auto size = [&](int64_t value) { return kernel.integer(kernel.i16(), value); };
  const Value arguments[] = {
      operands.rows,
      rowStride,
      operands.weights,
      operands.sums,
      operands.groups,
      operands.rowGroup ? operands.rowGroup : none,
      operands.weightGroup ? operands.weightGroup : none,
      kernel.mul(kernel.mul(height, vectors), kernel.integer(kLineBytes)),
      operands.steps,
      kernel.sub(height, tileRows),
      arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i16(), tileRows),
      size(kLineBytes),
      size(operands.stepBytes),
      size(operands.stepBytes / kWordBytes),
  };
  auto call = [&](int64_t tiles, int64_t columns) {
    std::string name;
    llvm::raw_string_ostream(name) << "matrix_" << (operands.integers ? "i8_" : "bf16_")
                                   << operands.stepBytes << '_' << tiles << 'x' << columns;
    kernel.call(name, arguments, [&](CpuKernelBuilder &inside, ValueRange given) {
      MatrixPass(inside, tiles, columns, operands.stepBytes, operands.integers, given).emit();
    });
  };
  kernel.dispatch(vectors, 1, kPanelColumns / kLanes, [&](int64_t columns) {
    kernel.dispatch(tiles, 1, kMostTiles, [&](int64_t tiles) { call(tiles, columns); });
  });
}
