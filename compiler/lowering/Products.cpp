// Lowers products to the target's register tiles: dense ones, the router's, and those of the
// experts.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/cpu/MatmulKernel.h"

using namespace mlir;
using namespace moec;

/// What becomes of the sums of 16 columns of one row: `column` counts within the result (i64).
using Finish = function_ref<void(Value row, Value column, int64_t lanes, ArrayRef<Value> sums)>;

/// A panel (i64) of matrices that have one shape.
struct Panel {
  SmallVector<Matrix> matrices;
  Value number;
};

/// Products of `rows` with a panel; `next` is the one of the tile that follows.
static void emitProduct(KernelBuilder &kernel, const ActivationRows &rows, const Panel &panel,
                        const Panel &next, Finish finish) {
  const Matrix &first = panel.matrices.front();
  const WeightLayout layout =
      first.layout == lm::Layout::Rows ? WeightLayout::Rows : WeightLayout::Panels;
  SmallVector<Value> bases, following;
  for (const Matrix &matrix : panel.matrices)
    bases.push_back(matrix.base);
  for (const Matrix &matrix : next.matrices)
    following.push_back(
        panelAddress(kernel, matrix.element, matrix.columns, matrix.base, next.number, layout));
  emitPanels(
      kernel, first.element, first.columns, first.rows, bases, panel.number,
      kernel.add(panel.number, kernel.integer(1)),
      [&](ArrayRef<Value> panels, Value start, const PanelShape &shape) {
        emitPanelProduct(kernel, rows, shape, panels, following,
                         [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                           finish(row, kernel.add(start, column), lanes, sums);
                         });
      },
      layout);
}

/// The block of rows of tile `index`, and its panel.
static std::pair<Value, Value> splitTile(KernelBuilder &kernel, Value index, int64_t columns) {
  Value panels = kernel.integer(panelCount(columns));
  return {kernel.div(index, panels), kernel.rem(index, panels)};
}

static Value following(KernelBuilder &kernel, Value index) {
  return kernel.add(index, kernel.integer(1));
}

void moec::lowerLinear(KernelBuilder &kernel, lm::LinearOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  Matrix weight = matrixOf(kernel, op.getWeight());
  std::optional<Matrix> bias;
  if (op.getBias())
    bias = matrixOf(kernel, op.getBias());
  auto [block, panel] = splitTile(kernel, tile.index, out.columns);
  Value next = splitTile(kernel, following(kernel, tile.index), out.columns).second;
  auto [begin, end] = Tile{block, tile.rows}.rowsOf(kernel, out);
  ActivationRows rows{
      input.row(kernel, begin), input.element, input.stride, kernel.sub(end, begin), {}};
  Value results = out.row(kernel, begin);
  emitProduct(kernel, rows, {{weight}, panel}, {{weight}, next},
              [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                Value value = sums[0],
                      to = kernel.address(results, out.element, kernel.mul(row, out.stride));
                if (bias)
                  value = kernel.add(value,
                                     matrixLanes(kernel, *bias, kernel.integer(0), column, lanes));
                if (op.getAccumulate())
                  value = kernel.add(loadRow(kernel, out.element, to, column, lanes), value);
                storeRow(kernel, value, out.element, to, column, lanes);
              });
}

void moec::lowerGate(KernelBuilder &kernel, moe::GateOp op, const Tile &tile) {
  RowBuffer tokens = rowBuffer(kernel, op.getTokens()),
            experts = rowBuffer(kernel, op.getExperts());
  RowBuffer weights = rowBuffer(kernel, op.getWeights());
  Matrix router = matrixOf(kernel, op.getRouter());
  Value stride = kernel.integer(router.rows);
  Value logits = kernel.scratch(tile.rows * router.rows * 4);
  auto [begin, end] = tile.rowsOf(kernel, experts);
  Value count = kernel.sub(end, begin);
  ActivationRows rows{tokens.row(kernel, begin), tokens.element, tokens.stride, count, {}};
  auto rowOfLogits = [&](Value row) {
    return kernel.address(logits, kernel.f32(), kernel.mul(row, stride));
  };
  kernel.loop(kernel.integer(0), kernel.integer(panelCount(router.rows)), 1, [&](Value panel) {
    emitProduct(kernel, rows, {{router}, panel}, {{router}, following(kernel, panel)},
                [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                  storeRow(kernel, sums[0], kernel.f32(), rowOfLogits(row), column, lanes);
                });
  });
  kernel.loop(kernel.integer(0), count, 1, [&, begin = begin](Value row) {
    Value token = kernel.add(begin, row);
    emitScores(kernel, op.getFunction(), rowOfLogits(row), router.rows);
    emitRoute(kernel, rowOfLogits(row), router.rows, experts.columns, op.getRenormalize(),
              experts.row(kernel, token), weights.row(kernel, token));
  });
}

/// The rows of one expert that a tile of a grouped product works on.
struct ExpertRows {
  Value expert, panel;
  Value nextExpert, nextPanel; ///< of the tile that follows
  ActivationRows rows;
  Value results; ///< !llvm.ptr to the first of them in the result
};

static ExpertRows expertRows(KernelBuilder &kernel, Value inputBuffer, Value tileList,
                             Value sources, const RowBuffer &out, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, inputBuffer), tiles = rowBuffer(kernel, tileList);
  // The first row of the list is the number of those that follow.
  auto entryOf = [&](Value index) {
    return tiles.row(kernel, kernel.add(index, kernel.integer(1)));
  };
  auto [index, panel] = splitTile(kernel, tile.index, out.columns);
  auto [after, nextPanel] = splitTile(kernel, following(kernel, tile.index), out.columns);
  Value last = kernel.sub(loadId(kernel, tiles.base, kernel.integer(0)), kernel.integer(1));
  Value nextExpert = loadId(kernel, entryOf(kernel.min(after, last)), kernel.integer(0));
  Value entry = entryOf(index);
  Value expert = loadId(kernel, entry, kernel.integer(0)),
        first = loadId(kernel, entry, kernel.integer(1));
  Value count = loadId(kernel, entry, kernel.integer(2));
  ActivationRows rows{input.base, input.element, input.stride, count, {}};
  if (sources)
    rows.indices = kernel.address(rowBuffer(kernel, sources).base, kernel.i32(), first);
  else
    rows.base = input.row(kernel, first);
  return {expert, panel, nextExpert, nextPanel, rows, out.row(kernel, first)};
}

void moec::lowerGroupedMatmul(KernelBuilder &kernel, moe::GroupedMatmulOp op, const Tile &tile) {
  RowBuffer out = rowBuffer(kernel, op.getOut());
  ExpertRows work = expertRows(kernel, op.getInput(), op.getTiles(), op.getRows(), out, tile);
  emitProduct(kernel, work.rows, {{matrixOf(kernel, op.getWeight(), work.expert)}, work.panel},
              {{matrixOf(kernel, op.getWeight(), work.nextExpert)}, work.nextPanel},
              [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                storeRow(kernel, sums[0], out.element,
                         kernel.address(work.results, out.element, kernel.mul(row, out.stride)),
                         column, lanes);
              });
}

void moec::lowerGroupedGlu(KernelBuilder &kernel, moe::GroupedGluOp op, const Tile &tile) {
  RowBuffer out = rowBuffer(kernel, op.getOut());
  ExpertRows work = expertRows(kernel, op.getInput(), op.getTiles(), op.getRows(), out, tile);
  auto panelOf = [&](Value expert, Value number) -> Panel {
    return {{matrixOf(kernel, op.getGate(), expert), matrixOf(kernel, op.getUp(), expert)}, number};
  };
  emitProduct(kernel, work.rows, panelOf(work.expert, work.panel),
              panelOf(work.nextExpert, work.nextPanel),
              [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                Value value = emitGatedActivation(kernel, op.getActivation(), sums[0], sums[1]);
                storeRow(kernel, value, out.element,
                         kernel.address(work.results, out.element, kernel.mul(row, out.stride)),
                         column, lanes);
              });
}
