// Lowers products to the target's register tiles: dense ones, the router's, and those of the
// experts.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/cpu/MatmulKernel.h"

using namespace mlir;
using namespace moec;

/// What becomes of the sums of 16 columns of one row: `column` counts within the result (i64).
using Finish = function_ref<void(Value row, Value column, int64_t lanes, ArrayRef<Value> sums)>;

/// Products of `rows` with panel `panel` (i64) of each of the matrices, which have one shape.
static void emitProduct(CpuKernelBuilder &kernel, const ActivationRows &rows,
                        ArrayRef<Matrix> matrices, Value panel, Finish finish,
                        MatmulRowFactor factor = nullptr) {
  const Matrix &first = matrices.front();
  SmallVector<Value> bases;
  for (const Matrix &matrix : matrices)
    bases.push_back(matrix.base);
  Value next = kernel.add(panel, kernel.integer(1));
  emitPanels(
      kernel, first.element, first.columns, first.rows, bases, panel, next,
      [&](ArrayRef<Value> panels, Value start, const PanelShape &shape) {
        emitPanelProduct(
            kernel, rows, shape, panels,
            [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
              finish(row, kernel.add(start, column), lanes, sums);
            },
            factor);
      },
      first.layout);
}

void moec::lowerLinear(CpuKernelBuilder &kernel, lm::LinearOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  Matrix weight = matrixOf(kernel, op.getWeight());
  std::optional<Matrix> bias = vectorOf(kernel, op.getBias());
  auto [block, panel] = tile.split(kernel, panelCount(out.columns));
  auto [begin, end] = Tile{block, tile.rows}.rowsOf(kernel, out);
  ActivationRows rows{
      input.row(kernel, begin), input.element, input.stride, kernel.sub(end, begin), {}};
  Value results = out.row(kernel, begin);
  emitProduct(kernel, rows, weight, panel,
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

void moec::lowerHeadLinear(CpuKernelBuilder &kernel, lm::HeadLinearOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  const int64_t width = extentOf(op.getWeight(), 1), depth = extentOf(op.getWeight(), 2);
  Value panels = kernel.integer(panelCount(width));
  auto [block, place] = tile.split(kernel, extentOf(op.getWeight(), 0) * panelCount(width));
  Value head = kernel.div(place, panels);
  auto [begin, end] = Tile{block, tile.rows}.rowsOf(kernel, out);
  Value from = kernel.address(input.row(kernel, begin), input.element,
                              kernel.mul(head, kernel.integer(depth)));
  Value to =
      kernel.address(out.row(kernel, begin), out.element, kernel.mul(head, kernel.integer(width)));
  ActivationRows rows{from, input.element, input.stride, kernel.sub(end, begin), {}};
  emitProduct(kernel, rows, matrixOf(kernel, op.getWeight(), head), kernel.rem(place, panels),
              [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                storeRow(kernel, sums[0], out.element,
                         kernel.address(to, out.element, kernel.mul(row, out.stride)), column,
                         lanes);
              });
}

void moec::lowerGate(CpuKernelBuilder &kernel, moe::GateOp op, const Tile &tile) {
  RowBuffer tokens = rowBuffer(kernel, op.getTokens()),
            experts = rowBuffer(kernel, op.getExperts());
  RowBuffer weights = rowBuffer(kernel, op.getWeights());
  Matrix router = matrixOf(kernel, op.getRouter());
  std::optional<Matrix> bias = vectorOf(kernel, op.getBias());
  const Routing routing = routingOf(kernel, op, router.rows);
  Value stride = kernel.integer(router.rows);
  Value logits = kernel.scratch(tile.rows * router.rows * 4);
  auto [begin, end] = tile.rowsOf(kernel, experts);
  Value count = kernel.sub(end, begin);
  ActivationRows rows{tokens.row(kernel, begin), tokens.element, tokens.stride, count, {}};
  auto rowOfLogits = [&](Value row) {
    return kernel.address(logits, kernel.f32(), kernel.mul(row, stride));
  };
  kernel.loop(kernel.integer(0), kernel.integer(panelCount(router.rows)), 1, [&](Value panel) {
    emitProduct(kernel, rows, router, panel,
                [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                  Value logits = sums[0];
                  if (bias)
                    logits = kernel.add(
                        logits, matrixLanes(kernel, *bias, kernel.integer(0), column, lanes));
                  storeRow(kernel, logits, kernel.f32(), rowOfLogits(row), column, lanes);
                });
  });
  kernel.loop(kernel.integer(0), count, 1, [&, begin = begin](Value row) {
    Value token = kernel.add(begin, row);
    emitScores(kernel, op.getFunction(), rowOfLogits(row), router.rows);
    emitRoute(kernel, routing, rowOfLogits(row), experts.row(kernel, token),
              weights.row(kernel, token));
  });
}

/// The rows of one expert that a tile of a grouped product works on.
struct ExpertRows {
  Value expert, panel;
  ActivationRows rows;
  Value results; ///< !llvm.ptr to the first of them in the result
};

/// Emits `body` for the tile's rows; a tile behind the end of the list has none.
template <typename Op>
static void forExpertRows(CpuKernelBuilder &kernel, Op op, const RowBuffer &out, const Tile &tile,
                          function_ref<void(const ExpertRows &)> body) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), tiles = rowBuffer(kernel, op.getTiles());
  auto [index, panel] = tile.split(kernel, panelCount(out.columns));
  Value isListed = kernel.compare(arith::CmpIPredicate::slt, index, listedCount(kernel, tiles));
  kernel.when(isListed, [&, index = index, panel = panel] {
    const ListedRows listed = listedRows(kernel, tiles, index);
    ActivationRows rows{input.base, input.element, input.stride, listed.count, {}};
    if (op.getRows())
      rows.indices =
          kernel.address(rowBuffer(kernel, op.getRows()).base, kernel.i32(), listed.first);
    else
      rows.base = input.row(kernel, listed.first);
    body({listed.expert, panel, rows, out.row(kernel, listed.first)});
  });
}

/// Emits `op`'s products of an expert's rows, each row weighed as `op` says.
template <typename Op>
static void emitExpertProduct(CpuKernelBuilder &kernel, Op op, const ExpertRows &work,
                              ArrayRef<Matrix> matrices, Finish finish) {
  if (!op.getWeights())
    return emitProduct(kernel, work.rows, matrices, work.panel, finish);
  emitProduct(kernel, work.rows, matrices, work.panel, finish, [&](Value row) {
    Value token = loadId(kernel, work.rows.indices, row);
    return emitPickWeight(kernel, op.getExperts(), op.getWeights(), token, work.expert);
  });
}

static Value addBias(CpuKernelBuilder &kernel, Value sums, const std::optional<Matrix> &bias,
                     Value column, int64_t lanes) {
  return bias ? kernel.add(sums, columnLanes(kernel, *bias, column, lanes)) : sums;
}

void moec::lowerGroupedMatmul(CpuKernelBuilder &kernel, moe::GroupedMatmulOp op, const Tile &tile) {
  RowBuffer out = rowBuffer(kernel, op.getOut());
  forExpertRows(kernel, op, out, tile, [&](const ExpertRows &work) {
    std::optional<Matrix> bias = vectorOf(kernel, op.getBias(), work.expert);
    emitExpertProduct(kernel, op, work, matrixOf(kernel, op.getWeight(), work.expert),
                      [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                        Value to =
                            kernel.address(work.results, out.element, kernel.mul(row, out.stride));
                        Value value = emitActivation(kernel, op.getActivationAttr(),
                                                     addBias(kernel, sums[0], bias, column, lanes));
                        storeRow(kernel, value, out.element, to, column, lanes);
                      });
  });
}

void moec::lowerGroupedGlu(CpuKernelBuilder &kernel, moe::GroupedGluOp op, const Tile &tile) {
  RowBuffer out = rowBuffer(kernel, op.getOut());
  forExpertRows(kernel, op, out, tile, [&](const ExpertRows &work) {
    Matrix matrices[] = {matrixOf(kernel, op.getGate(), work.expert),
                         matrixOf(kernel, op.getUp(), work.expert)};
    std::optional<Matrix> gateBias = vectorOf(kernel, op.getGateBias(), work.expert),
                          upBias = vectorOf(kernel, op.getUpBias(), work.expert);
    emitExpertProduct(kernel, op, work, matrices,
                      [&](Value row, Value column, int64_t lanes, ArrayRef<Value> sums) {
                        Value gate = addBias(kernel, sums[0], gateBias, column, lanes),
                              up = addBias(kernel, sums[1], upBias, column, lanes);
                        Value value = emitGatedActivation(kernel, op.getActivation(), gate, up);
                        Value to =
                            kernel.address(work.results, out.element, kernel.mul(row, out.stride));
                        storeRow(kernel, value, out.element, to, column, lanes);
                      });
  });
}
