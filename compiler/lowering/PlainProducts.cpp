// The reference lowering of products: plain loops, one element after another.

#include "compiler/analysis/PackedWeights.h"
#include "compiler/lowering/Lowerings.h"

using namespace mlir;
using namespace moec;

Value moec::activationElement(KernelBuilder &kernel, Type element, Value row, const Matrix &matrix,
                              Value i) {
  if (!element.isInteger())
    return kernel.widen(kernel.load(element, kernel.address(row, element, i)));
  const int64_t size = quantGroup(*quantFormatOf(matrix.element), matrix.columns);
  Value block = kernel.addressBytes(
      row, kernel.mul(kernel.div(i, kernel.integer(size)), kernel.integer(size + kBlockTailBytes)));
  Value integer =
      kernel.load(element, kernel.addressBytes(block, kernel.rem(i, kernel.integer(size))));
  Value value = arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(), integer);
  return kernel.mul(value, kernel.load(kernel.f32(), kernel.address(block, size)));
}

Value moec::roundedWeight(KernelBuilder &kernel, Type activation, const Matrix &matrix,
                          Value weight) {
  if (activation.isBF16() && !isa<BFloat16Type, lm::QuantizedType>(matrix.element))
    return kernel.widen(kernel.round(activation, weight));
  return weight;
}

/// The product of a row of activations and a row of the weight.
static Value dot(KernelBuilder &kernel, Type element, Value row, const Matrix &matrix,
                 Value column) {
  Value zero = kernel.number(kernel.f32(), 0);
  return kernel.loop(kernel.integer(0), kernel.integer(matrix.columns), 1, ValueRange{zero},
                     [&](Value i, ValueRange sum) -> SmallVector<Value> {
                       Value x = activationElement(kernel, element, row, matrix, i);
                       Value w = roundedWeight(kernel, element, matrix,
                                               matrixElement(kernel, matrix, column, i));
                       return {kernel.fma(x, w, sum[0])};
                     })[0];
}

static void forEach(KernelBuilder &kernel, int64_t count, function_ref<void(Value)> body) {
  kernel.loop(kernel.integer(0), kernel.integer(count), 1, body);
}

void moec::lowerLinearPlainly(KernelBuilder &kernel, lm::LinearOp op) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  Matrix weight = matrixOf(kernel, op.getWeight());
  std::optional<Matrix> bias = vectorOf(kernel, op.getBias());
  kernel.loop(kernel.integer(0), out.rows, 1, [&](Value row) {
    forEach(kernel, out.columns, [&](Value column) {
      Value value = dot(kernel, input.element, input.row(kernel, row), weight, column);
      if (bias)
        value = kernel.add(value, matrixElement(kernel, *bias, kernel.integer(0), column));
      Value to = kernel.address(out.row(kernel, row), out.element, column);
      if (op.getAccumulate())
        value = kernel.add(kernel.load(out.element, to), value);
      kernel.store(value, to);
    });
  });
}

void moec::lowerHeadLinearPlainly(KernelBuilder &kernel, lm::HeadLinearOp op) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  const int64_t heads = extentOf(op.getWeight(), 0), width = extentOf(op.getWeight(), 1),
                depth = extentOf(op.getWeight(), 2);
  kernel.loop(kernel.integer(0), out.rows, 1, [&](Value row) {
    forEach(kernel, heads, [&](Value head) {
      Matrix weight = matrixOf(kernel, op.getWeight(), head);
      Value from = kernel.address(input.row(kernel, row), input.element,
                                  kernel.mul(head, kernel.integer(depth)));
      Value to = kernel.address(out.row(kernel, row), out.element,
                                kernel.mul(head, kernel.integer(width)));
      forEach(kernel, width, [&](Value column) {
        kernel.store(kernel.round(out.element, dot(kernel, input.element, from, weight, column)),
                     kernel.address(to, out.element, column));
      });
    });
  });
}

void moec::lowerGatePlainly(KernelBuilder &kernel, moe::GateOp op) {
  RowBuffer tokens = rowBuffer(kernel, op.getTokens()),
            experts = rowBuffer(kernel, op.getExperts());
  RowBuffer weights = rowBuffer(kernel, op.getWeights());
  Matrix router = matrixOf(kernel, op.getRouter());
  std::optional<Matrix> bias = vectorOf(kernel, op.getBias());
  const Routing routing = routingOf(kernel, op, router.rows);
  Value logits = kernel.scratch(router.rows * 4);
  kernel.loop(kernel.integer(0), experts.rows, 1, [&](Value row) {
    forEach(kernel, router.rows, [&](Value expert) {
      Value logit = dot(kernel, tokens.element, tokens.row(kernel, row), router, expert);
      if (bias)
        logit = kernel.add(logit, matrixElement(kernel, *bias, kernel.integer(0), expert));
      kernel.store(logit, kernel.address(logits, kernel.f32(), expert));
    });
    emitScores(kernel, op.getFunction(), logits, router.rows);
    emitRoute(kernel, routing, logits, experts.row(kernel, row), weights.row(kernel, row));
  });
}

/// body(expert, sorted row) for the rows of all tiles.
static void forSortedRows(KernelBuilder &kernel, Value tileList,
                          function_ref<void(Value expert, Value row)> body) {
  RowBuffer tiles = rowBuffer(kernel, tileList);
  kernel.loop(kernel.integer(0), listedCount(kernel, tiles), 1, [&](Value index) {
    const ListedRows listed = listedRows(kernel, tiles, index);
    kernel.loop(listed.first, kernel.add(listed.first, listed.count), 1,
                [&](Value row) { body(listed.expert, row); });
  });
}

static Value sourceRow(KernelBuilder &kernel, Value rows, Value row) {
  return rows ? loadId(kernel, rowBuffer(kernel, rows).base, row) : row;
}

/// A product of an expert with one of its rows, as `op`, of one product or of two, has it.
struct ExpertRow {
  template <typename Op>
  ExpertRow(KernelBuilder &kernel, Op op, const RowBuffer &input, Value expert, Value row)
      : kernel(kernel), element(input.element) {
    Value source = sourceRow(kernel, op.getRows(), row);
    from = input.row(kernel, source);
    if (op.getWeights())
      share = emitPickWeight(kernel, op.getExperts(), op.getWeights(), source, expert);
  }

  Value times(const Matrix &weight, const std::optional<Matrix> &bias, Value column) const {
    return emitExpertSum(kernel, dot(kernel, element, from, weight, column), share, bias, column);
  }

  KernelBuilder &kernel;
  const Type element;
  Value from, share;
};

void moec::lowerGroupedMatmulPlainly(KernelBuilder &kernel, moe::GroupedMatmulOp op) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  forSortedRows(kernel, op.getTiles(), [&](Value expert, Value row) {
    Matrix weight = matrixOf(kernel, op.getWeight(), expert);
    std::optional<Matrix> bias = vectorOf(kernel, op.getBias(), expert);
    ExpertRow work(kernel, op, input, expert, row);
    Value to = out.row(kernel, row);
    forEach(kernel, out.columns, [&](Value column) {
      Value value =
          emitActivation(kernel, op.getActivationAttr(), work.times(weight, bias, column));
      kernel.store(kernel.round(out.element, value), kernel.address(to, out.element, column));
    });
  });
}

void moec::lowerGroupedGluPlainly(KernelBuilder &kernel, moe::GroupedGluOp op) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  forSortedRows(kernel, op.getTiles(), [&](Value expert, Value row) {
    Matrix gate = matrixOf(kernel, op.getGate(), expert), up = matrixOf(kernel, op.getUp(), expert);
    std::optional<Matrix> gateBias = vectorOf(kernel, op.getGateBias(), expert),
                          upBias = vectorOf(kernel, op.getUpBias(), expert);
    ExpertRow work(kernel, op, input, expert, row);
    Value to = out.row(kernel, row);
    forEach(kernel, out.columns, [&](Value column) {
      Value value =
          emitGatedActivation(kernel, op.getActivation(), work.times(gate, gateBias, column),
                              work.times(up, upBias, column));
      kernel.store(kernel.round(out.element, value), kernel.address(to, out.element, column));
    });
  });
}
