// Lowers products to sums whose lanes lie along K: a few columns of a row at a time, for the warps
// of a GPU.

#include "compiler/analysis/PackedWeights.h"
#include "compiler/analysis/WarpTiles.h"
#include "compiler/lowering/Lowerings.h"

using namespace mlir;
using namespace moec;

static Value activationLanes(KernelBuilder &kernel, Type element, Value row, const Matrix &matrix,
                             Value column, int64_t lanes) {
  if (!element.isInteger())
    return loadRow(kernel, element, row, column, lanes);
  return kernel.eachLane(lanes, [&](Value lane) {
    return activationElement(kernel, element, row, matrix, kernel.add(column, lane));
  });
}

/// Products of rows of activations and rows `columns` of each of the matrices, which are of one
/// shape: matrix by matrix, of each column by column, of that row by row.
static SmallVector<Value> dots(KernelBuilder &kernel, Type element, ValueRange rows,
                               ArrayRef<Matrix> matrices, ValueRange columns) {
  Value zero = kernel.number(kernel.lanes(kernel.f32()), 0);
  SmallVector<Value> sums(matrices.size() * columns.size() * rows.size(), zero);
  sums = kernel.forColumns(
      matrices.front().columns, sums, [&](Value k, int64_t lanes, ValueRange before) {
        SmallVector<Value> xs, after;
        for (Value row : rows)
          xs.push_back(activationLanes(kernel, element, row, matrices.front(), k, lanes));
        for (const Matrix &matrix : matrices)
          for (Value column : columns) {
            Value w = roundedWeight(kernel, element, matrix,
                                    matrixLanes(kernel, matrix, column, k, lanes));
            for (Value x : xs)
              after.push_back(kernel.fma(x, w, before[after.size()]));
          }
        return after;
      });
  for (Value &sum : sums)
    sum = kernel.sumOfLanes(sum);
  return sums;
}

/// put(column, sums) for each of the kWarpColumns columns of block `block` (i64) that there are of
/// `count`, with the products of the rows and that column of each of the matrices, matrix by
/// matrix.
static void forColumnsOf(KernelBuilder &kernel, Type element, ValueRange rows,
                         ArrayRef<Matrix> matrices, Value block, int64_t count,
                         function_ref<void(Value column, ArrayRef<Value> sums)> put) {
  Value first = kernel.mul(block, kernel.integer(kWarpColumns));
  SmallVector<Value> columns, multiplied;
  const bool fits = count % kWarpColumns == 0;
  for (int64_t i = 0; i < kWarpColumns; ++i) {
    columns.push_back(kernel.add(first, kernel.integer(i)));
    multiplied.push_back(fits ? columns.back()
                              : kernel.min(columns.back(), kernel.integer(count - 1)));
  }
  SmallVector<Value> sums = dots(kernel, element, rows, matrices, multiplied);
  for (auto [i, column] : llvm::enumerate(columns)) {
    SmallVector<Value> own;
    for (size_t matrix = 0; matrix < matrices.size(); ++matrix)
      llvm::append_range(
          own, ArrayRef(sums).slice((matrix * kWarpColumns + i) * rows.size(), rows.size()));
    if (fits)
      put(column, own);
    else
      kernel.when(kernel.compare(arith::CmpIPredicate::slt, column, kernel.integer(count)),
                  [&, column = column] { put(column, own); });
  }
}

static void putElement(KernelBuilder &kernel, Value value, Type element, Value row, Value column) {
  kernel.store(kernel.round(element, value), kernel.address(row, element, column));
}

void moec::lowerLinearByWarp(KernelBuilder &kernel, lm::LinearOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  Matrix weight = matrixOf(kernel, op.getWeight());
  std::optional<Matrix> bias = vectorOf(kernel, op.getBias());
  auto [row, block] = tile.split(kernel, warpPanels(out.columns));
  Value to = out.row(kernel, row);
  forColumnsOf(kernel, input.element, input.row(kernel, row), weight, block, out.columns,
               [&](Value column, ArrayRef<Value> sums) {
                 Value value = sums[0];
                 if (bias)
                   value =
                       kernel.add(value, matrixElement(kernel, *bias, kernel.integer(0), column));
                 if (op.getAccumulate()) {
                   Value before = kernel.load(out.element, kernel.address(to, out.element, column));
                   value = kernel.add(kernel.widen(before), value);
                 }
                 putElement(kernel, value, out.element, to, column);
               });
}

void moec::lowerHeadLinearByWarp(KernelBuilder &kernel, lm::HeadLinearOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  const int64_t heads = extentOf(op.getWeight(), 0), width = extentOf(op.getWeight(), 1),
                depth = extentOf(op.getWeight(), 2), panels = warpPanels(width);
  auto [row, place] = tile.split(kernel, heads * panels);
  Value head = kernel.div(place, kernel.integer(panels)),
        block = kernel.rem(place, kernel.integer(panels));
  Value from = kernel.address(input.row(kernel, row), input.element,
                              kernel.mul(head, kernel.integer(depth)));
  Value to =
      kernel.address(out.row(kernel, row), out.element, kernel.mul(head, kernel.integer(width)));
  forColumnsOf(kernel, input.element, from, matrixOf(kernel, op.getWeight(), head), block, width,
               [&](Value column, ArrayRef<Value> sums) {
                 putElement(kernel, sums[0], out.element, to, column);
               });
}

void moec::lowerGateByBlock(KernelBuilder &warp, KernelBuilder &group, ThreadBuilder &block,
                            lm::PhaseOp phase, moe::GateOp op, const Tile &tile) {
  RowBuffer tokens = rowBuffer(block, op.getTokens()), experts = rowBuffer(block, op.getExperts()),
            weights = rowBuffer(block, op.getWeights());
  Matrix router = matrixOf(block, op.getRouter());
  std::optional<Matrix> bias = vectorOf(block, op.getBias());
  const Routing routing = routingOf(block, op, router.rows);
  Value logits = block.scratch(tile.rows * router.rows * 4);
  auto logitsOf = [&](Value number) {
    return block.address(logits, block.f32(), block.mul(number, block.integer(router.rows)));
  };
  auto [begin, end] = tile.rowsOf(block, experts);
  Value first = begin, last = block.sub(end, block.integer(1));
  SmallVector<Value> from; // a row that there is not is the last again
  for (int64_t i = 0; i < tile.rows; ++i)
    from.push_back(tokens.row(block, block.min(block.add(first, block.integer(i)), last)));
  block.barrier(); // before the room is another tile's
  auto put = [&](Value expert, ArrayRef<Value> sums) {
    for (auto [number, logit] : llvm::enumerate(sums)) {
      Value sum = logit;
      if (bias)
        sum = warp.add(sum, matrixElement(warp, *bias, warp.integer(0), expert));
      putElement(warp, sum, warp.f32(), logitsOf(warp.integer(static_cast<int64_t>(number))),
                 expert);
    }
  };
  warp.loop(block.warp(), warp.integer(warpPanels(router.rows)),
            static_cast<int64_t>(phase.getWarps()), [&](Value panel) {
              forColumnsOf(warp, tokens.element, from, router, panel, router.rows, put);
            });
  block.barrier();
  group.loop(first, end, 1, [&](Value row) {
    Value own = logitsOf(group.sub(row, first));
    emitScores(group, op.getFunction(), own, router.rows);
    emitRoute(group, routing, own, experts.row(group, row), weights.row(group, row));
  });
}

namespace {
/// A row of an expert that a tile of a grouped product works on.
struct ExpertRow {
  Value expert, block;
  Value from, to; ///< !llvm.ptr to the row of activations, and of the result
  Value share;    ///< f32 that sums are multiplied by, or null
};
} // namespace

/// Emits `body` for each row of the tile; one behind the end of the list has none.
template <typename Op>
static void forExpertRows(KernelBuilder &kernel, Op op, const RowBuffer &out, const Tile &tile,
                          function_ref<void(const ExpertRow &)> body) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), tiles = rowBuffer(kernel, op.getTiles());
  auto [index, block] = tile.split(kernel, warpPanels(out.columns));
  Value isListed = kernel.compare(arith::CmpIPredicate::slt, index, listedCount(kernel, tiles));
  kernel.when(isListed, [&, index = index, block = block] {
    const ListedRows listed = listedRows(kernel, tiles, index);
    kernel.loop(listed.first, kernel.add(listed.first, listed.count), 1, [&](Value row) {
      Value source = row;
      if (op.getRows())
        source = loadId(kernel, rowBuffer(kernel, op.getRows()).base, row);
      ExpertRow work{listed.expert, block, input.row(kernel, source), out.row(kernel, row), {}};
      if (op.getWeights())
        work.share =
            emitPickWeight(kernel, op.getExperts(), op.getWeights(), source, listed.expert);
      body(work);
    });
  });
}

void moec::lowerGroupedMatmulByWarp(KernelBuilder &kernel, moe::GroupedMatmulOp op,
                                    const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  forExpertRows(kernel, op, out, tile, [&](const ExpertRow &work) {
    std::optional<Matrix> bias = vectorOf(kernel, op.getBias(), work.expert);
    forColumnsOf(kernel, input.element, work.from, matrixOf(kernel, op.getWeight(), work.expert),
                 work.block, out.columns, [&](Value column, ArrayRef<Value> sums) {
                   Value sum = emitExpertSum(kernel, sums[0], work.share, bias, column);
                   putElement(kernel, emitActivation(kernel, op.getActivationAttr(), sum),
                              out.element, work.to, column);
                 });
  });
}

void moec::lowerGroupedGluByWarp(KernelBuilder &kernel, moe::GroupedGluOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  forExpertRows(kernel, op, out, tile, [&](const ExpertRow &work) {
    Matrix matrices[] = {matrixOf(kernel, op.getGate(), work.expert),
                         matrixOf(kernel, op.getUp(), work.expert)};
    std::optional<Matrix> gateBias = vectorOf(kernel, op.getGateBias(), work.expert),
                          upBias = vectorOf(kernel, op.getUpBias(), work.expert);
    forColumnsOf(kernel, input.element, work.from, matrices, work.block, out.columns,
                 [&](Value column, ArrayRef<Value> sums) {
                   Value gate = emitExpertSum(kernel, sums[0], work.share, gateBias, column),
                         up = emitExpertSum(kernel, sums[1], work.share, upBias, column);
                   putElement(kernel, emitGatedActivation(kernel, op.getActivation(), gate, up),
                              out.element, work.to, column);
                 });
  });
}
