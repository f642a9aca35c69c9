// Lowers the ops that work row by row: the lanes of a row, the rows of a tile one after another.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/ElementaryFunctions.h"
#include "runtime/core/PackedLayout.h"

using namespace mlir;
using namespace moec;

std::pair<Value, Value> Tile::rowsOf(KernelBuilder &kernel, const RowBuffer &buffer) const {
  if (rows == 0)
    return {kernel.integer(0), buffer.rows};
  Value first = kernel.mul(index, kernel.integer(rows));
  return {first, kernel.min(buffer.rows, kernel.add(first, kernel.integer(rows)))};
}

/// out[row, column] = value(row, column, lanes) over the tile's rows.
static void forElements(KernelBuilder &kernel, const RowBuffer &out, const Tile &tile,
                        function_ref<Value(Value row, Value column, int64_t lanes)> value) {
  auto [begin, end] = tile.rowsOf(kernel, out);
  kernel.loop(begin, end, 1, [&](Value row) {
    kernel.forColumns(out.columns, [&](Value column, int64_t lanes) {
      storeRow(kernel, value(row, column, lanes), out.element, out.row(kernel, row), column, lanes);
    });
  });
}

static Value load(KernelBuilder &kernel, const RowBuffer &buffer, Value row, Value column,
                  int64_t lanes) {
  return loadRow(kernel, buffer.element, buffer.row(kernel, row), column, lanes);
}

void moec::lowerEmbedding(KernelBuilder &kernel, lm::EmbeddingOp op, const Tile &tile) {
  RowBuffer ids = rowBuffer(kernel, op.getIds()), out = rowBuffer(kernel, op.getOut());
  Matrix table = matrixOf(kernel, op.getTable());
  forElements(kernel, out, tile, [&](Value row, Value column, int64_t lanes) {
    return matrixLanes(kernel, table, loadId(kernel, ids.base, row), column, lanes);
  });
}

void moec::lowerRmsNorm(KernelBuilder &kernel, lm::RmsNormOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  std::optional<Matrix> weight = vectorOf(kernel, op.getWeight());
  int64_t columns = input.columns / op.getHeads();
  auto [begin, end] = tile.rowsOf(kernel, out);
  kernel.loop(begin, end, 1, [&](Value row) {
    kernel.loop(kernel.integer(0), kernel.integer(op.getHeads()), 1, [&](Value head) {
      Value start = kernel.mul(head, kernel.integer(columns));
      Value from = kernel.address(input.row(kernel, row), input.element, start);
      Value to = kernel.address(out.row(kernel, row), out.element, start);
      Value zero = kernel.number(kernel.lanes(kernel.f32()), 0);
      Value squares = kernel.forColumns(
          columns, zero, [&](Value column, int64_t lanes, ValueRange sum) -> SmallVector<Value> {
            Value x = loadRow(kernel, input.element, from, column, lanes);
            return {kernel.fma(x, x, sum[0])};
          })[0];
      Value mean = kernel.div(kernel.sumOfLanes(squares), kernel.number(kernel.f32(), columns));
      Value scale = emitRsqrt(
          kernel, kernel.add(mean, kernel.number(kernel.f32(), op.getEpsilon().convertToFloat())));
      Value scales = kernel.broadcast(scale);
      kernel.forColumns(columns, [&](Value column, int64_t lanes) {
        Value x = kernel.mul(loadRow(kernel, input.element, from, column, lanes), scales);
        if (weight)
          x = kernel.mul(x, matrixLanes(kernel, *weight, kernel.integer(0), column, lanes));
        storeRow(kernel, x, out.element, to, column, lanes);
      });
    });
  });
}

void moec::lowerLayerNorm(KernelBuilder &kernel, lm::LayerNormOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  Matrix weight = matrixOf(kernel, op.getWeight()), bias = matrixOf(kernel, op.getBias());
  const int64_t columns = input.columns;
  Value zero = kernel.number(kernel.lanes(kernel.f32()), 0),
        count = kernel.number(kernel.f32(), static_cast<double>(columns));
  auto [begin, end] = tile.rowsOf(kernel, out);
  kernel.loop(begin, end, 1, [&](Value row) {
    Value from = input.row(kernel, row), to = out.row(kernel, row);
    auto meanOf = [&](function_ref<Value(Value x)> term) {
      Value sums = kernel.forColumns(
          columns, zero, [&](Value column, int64_t lanes, ValueRange sum) -> SmallVector<Value> {
            Value x = term(loadRow(kernel, input.element, from, column, lanes));
            return {kernel.add(sum[0], kernel.fillLanes(x, lanes, 0))};
          })[0];
      return kernel.div(kernel.sumOfLanes(sums), count);
    };
    Value mean = kernel.broadcast(meanOf([](Value x) { return x; }));
    Value variance = meanOf([&](Value x) {
      Value distance = kernel.sub(x, mean);
      return kernel.mul(distance, distance);
    });
    Value epsilon = kernel.number(kernel.f32(), op.getEpsilon().convertToFloat());
    Value scale = kernel.broadcast(emitRsqrt(kernel, kernel.add(variance, epsilon)));
    kernel.forColumns(columns, [&](Value column, int64_t lanes) {
      Value x = kernel.sub(loadRow(kernel, input.element, from, column, lanes), mean);
      Value w = matrixLanes(kernel, weight, kernel.integer(0), column, lanes),
            b = matrixLanes(kernel, bias, kernel.integer(0), column, lanes);
      storeRow(kernel, kernel.fma(kernel.mul(x, scale), w, b), out.element, to, column, lanes);
    });
  });
}

void moec::lowerClamp(KernelBuilder &kernel, lm::ClampOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  Type type = kernel.lanes(kernel.f32());
  Value high = kernel.number(type, op.getLimit().convertToFloat()),
        low = kernel.number(type, -op.getLimit().convertToFloat());
  forElements(kernel, out, tile, [&](Value row, Value column, int64_t lanes) {
    return kernel.min(kernel.max(load(kernel, input, row, column, lanes), low), high);
  });
}

void moec::lowerTemperature(KernelBuilder &kernel, lm::TemperatureOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()),
            positions = rowBuffer(kernel, op.getPositions());
  Value scale = kernel.number(kernel.f32(), op.getScale().convertToDouble()),
        one = kernel.number(kernel.f32(), 1);
  forElements(
      kernel, rowBuffer(kernel, op.getOut()), tile, [&](Value row, Value column, int64_t lanes) {
        Value next = kernel.add(loadId(kernel, positions.base, row), kernel.integer(1));
        Value passed = kernel.div(next, kernel.integer(op.getInterval()));
        Value count = arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(), passed);
        Value factor = kernel.fma(scale, emitLog(kernel, kernel.add(count, one)), one);
        return kernel.mul(load(kernel, input, row, column, lanes), kernel.broadcast(factor));
      });
}

void moec::lowerScaleRows(KernelBuilder &kernel, lm::ScaleRowsOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), gate = rowBuffer(kernel, op.getGate()),
            out = rowBuffer(kernel, op.getOut());
  forElements(kernel, out, tile, [&](Value row, Value column, int64_t lanes) {
    Value scale =
        emitSigmoid(kernel, kernel.broadcast(kernel.load(kernel.f32(), gate.row(kernel, row))));
    return kernel.mul(load(kernel, input, row, column, lanes), scale);
  });
}

void moec::lowerAdd(KernelBuilder &kernel, lm::AddOp op, const Tile &tile) {
  RowBuffer left = rowBuffer(kernel, op.getLeft()), right = rowBuffer(kernel, op.getRight());
  forElements(kernel, rowBuffer(kernel, op.getOut()), tile,
              [&](Value row, Value column, int64_t lanes) {
                return kernel.add(load(kernel, left, row, column, lanes),
                                  load(kernel, right, row, column, lanes));
              });
}

void moec::lowerRound(KernelBuilder &kernel, lm::RoundOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput());
  forElements(kernel, rowBuffer(kernel, op.getOut()), tile,
              [&](Value row, Value column, int64_t lanes) {
                return load(kernel, input, row, column, lanes);
              });
}

/// Quantises `count` elements at `from` into a block of `size` at `to`.
static void quantizeBlock(KernelBuilder &kernel, Type element, Value from, int64_t count, Value to,
                          int64_t size) {
  const Type words = kernel.lanes(kernel.i32()), floats = kernel.lanes(kernel.f32()),
             bytes = kernel.lanes(kernel.i8());
  Value zeros = kernel.integer(words, 0);
  // Without their signs, bits of numbers compare as the numbers do, and NaNs are above all.
  Value largest = kernel.forColumns(
      count, zeros, [&](Value column, int64_t lanes, ValueRange most) -> SmallVector<Value> {
        Value bits = kernel.bitcast(words, loadRow(kernel, element, from, column, lanes));
        return {kernel.max(most[0], kernel.bitAnd(bits, kernel.integer(words, 0x7fffffff)))};
      })[0];
  Value most = kernel.bitcast(kernel.f32(), kernel.maxOfLanes(largest));
  Value zero = kernel.number(kernel.f32(), 0), steps = kernel.number(kernel.f32(), 127);
  Value isZero =
      arith::CmpFOp::create(kernel.builder, kernel.loc, arith::CmpFPredicate::OEQ, most, zero);
  Value inverse = kernel.broadcast(kernel.select(isZero, zero, kernel.div(steps, most)));
  // Adding 1.5 * 2^23 leaves no bits behind the point.
  Value shift = kernel.number(floats, 12582912.0), shiftBits = kernel.bitcast(words, shift);
  Value sums = kernel.forColumns(
      count, zeros, [&](Value column, int64_t lanes, ValueRange sum) -> SmallVector<Value> {
        Value x = kernel.mul(loadRow(kernel, element, from, column, lanes), inverse);
        Value integers = kernel.sub(kernel.bitcast(words, kernel.add(x, shift)), shiftBits);
        // What is behind the row's end pads the block.
        kernel.storeLanes(arith::TruncIOp::create(kernel.builder, kernel.loc, bytes, integers),
                          kernel.address(to, kernel.i8(), column),
                          std::min(roundUpTo(lanes, kPanelLanes), kernel.laneCount()));
        return {kernel.add(sum[0], integers)};
      })[0];
  const int64_t step = kernel.laneCount();
  for (int64_t column = roundUpTo(count, kPanelLanes); column < size; column += step)
    kernel.storeLanes(kernel.integer(bytes, 0), kernel.address(to, column),
                      std::min(step, size - column));
  kernel.store(kernel.div(most, steps), kernel.address(to, size));
  kernel.store(kernel.sumOfLanes(sums), kernel.address(to, size + 4));
}

void moec::lowerQuantize(KernelBuilder &kernel, lm::QuantizeOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  const int64_t size = op.getBlock(), whole = input.columns / size, rest = input.columns % size;
  auto [begin, end] = tile.rowsOf(kernel, out);
  kernel.loop(begin, end, 1, [&](Value row) {
    auto quantize = [&](Value block, int64_t count) {
      Value from = kernel.address(input.row(kernel, row), input.element,
                                  kernel.mul(block, kernel.integer(size)));
      Value to = kernel.addressBytes(out.row(kernel, row),
                                     kernel.mul(block, kernel.integer(size + kBlockTailBytes)));
      quantizeBlock(kernel, input.element, from, count, to, size);
    };
    if (whole > 0)
      kernel.loop(kernel.integer(0), kernel.integer(whole), 1,
                  [&](Value block) { quantize(block, size); });
    if (rest > 0)
      quantize(kernel.integer(whole), rest);
  });
}

void moec::lowerSelectRows(KernelBuilder &kernel, lm::SelectRowsOp op, const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), rows = rowBuffer(kernel, op.getRows());
  forElements(kernel, rowBuffer(kernel, op.getOut()), tile,
              [&](Value row, Value column, int64_t lanes) {
                return load(kernel, input, loadId(kernel, rows.base, row), column, lanes);
              });
}

Value moec::emitActivation(KernelBuilder &kernel, moe::ActivationAttr activation, Value x) {
  if (!activation)
    return x;
  // The bound comes first: where x is no number, neither is the result.
  auto positive = [&] { return kernel.max(kernel.number(x.getType(), 0), x); };
  switch (activation.getKind()) {
  case moe::ActivationKind::Identity:
    return x;
  case moe::ActivationKind::Relu:
    return positive();
  case moe::ActivationKind::ReluSquared: {
    Value root = positive();
    return kernel.mul(root, root);
  }
  case moe::ActivationKind::Gelu:
    return emitGelu(kernel, x);
  case moe::ActivationKind::GeluTanh:
    return emitGeluTanh(kernel, x);
  case moe::ActivationKind::Silu: {
    FloatAttr slope = activation.getSlope();
    if (!slope)
      return emitSilu(kernel, x);
    Value inside = kernel.mul(x, kernel.number(x.getType(), slope.getValueAsDouble()));
    return kernel.mul(x, emitSigmoid(kernel, inside));
  }
  }
  llvm_unreachable("every activation is a case");
}

Value moec::emitGatedActivation(KernelBuilder &kernel, moe::ActivationAttr activation, Value gate,
                                Value up) {
  auto number = [&](double value) { return kernel.number(gate.getType(), value); };
  if (FloatAttr bound = activation.getLimit()) {
    const double limit = bound.getValueAsDouble();
    gate = kernel.min(number(limit), gate);
    up = kernel.max(number(-limit), kernel.min(number(limit), up));
  }
  if (FloatAttr shift = activation.getShift())
    up = kernel.add(up, number(shift.getValueAsDouble()));
  return kernel.mul(emitActivation(kernel, activation, gate), up);
}

void moec::lowerGatedActivation(KernelBuilder &kernel, moe::GatedActivationOp op,
                                const Tile &tile) {
  RowBuffer gate = rowBuffer(kernel, op.getGate()), up = rowBuffer(kernel, op.getUp());
  forElements(kernel, rowBuffer(kernel, op.getOut()), tile,
              [&](Value row, Value column, int64_t lanes) {
                return emitGatedActivation(kernel, op.getActivation(),
                                           load(kernel, gate, row, column, lanes),
                                           load(kernel, up, row, column, lanes));
              });
}
