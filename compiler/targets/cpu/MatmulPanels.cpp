// The product kernel of the packed layout: lanes along N, no horizontal sums, weights streamed once
// per row tile.

#include "compiler/targets/cpu/MatmulKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

static constexpr int64_t kLineBytes = 64;

namespace {

/// One register tile: `height` rows by `vectors` x 16 columns of one panel, for one way of
/// multiplying.
class PanelTile {
public:
  PanelTile(KernelBuilder &kernel, const PanelShape &shape, Type activation)
      : kernel(kernel), shape(shape), activation(activation), pairs(bytesOf(shape.element) == 2),
        steps(pairs ? shape.depth / 2 : shape.depth),
        activationStep(bytesOf(activation) * (pairs ? 2 : 1)) {}

  /// Sums of the tile, [row][vector], over all of K. Where `ahead` is given, every step prefetches
  /// one more line from there on; where `other` is, the same lines of that panel.
  SmallVector<Value> emit(ArrayRef<Value> rows, Value panel, int64_t vectors, Value ahead,
                          Value other);

private:
  SmallVector<Value> step(ArrayRef<Value> rows, Value weights, Value activationBytes,
                          int64_t offset, int64_t vectors, SmallVector<Value> sums, bool half);
  void widenPair(Value weights, Value &even, Value &odd);
  Value activationPair(Value from, bool half);

  KernelBuilder &kernel;
  const PanelShape &shape;
  const Type activation;
  const bool pairs;             // a step takes two of K
  const int64_t steps;          // whole ones
  const int64_t activationStep; // bytes of a row's activations in a step
};

} // namespace

// The two f32 values in each lane's pair of 16-bit weights.
void PanelTile::widenPair(Value weights, Value &even, Value &odd) {
  VectorType words = kernel.lanes(kernel.i32()), floats = kernel.lanes(kernel.f32());
  if (shape.element == kernel.bf16()) {
    Value shift = kernel.integer(words, 16), mask = kernel.integer(words, int32_t(0xffff0000));
    even =
        kernel.bitcast(floats, arith::ShLIOp::create(kernel.builder, kernel.loc, weights, shift));
    odd = kernel.bitcast(floats, arith::AndIOp::create(kernel.builder, kernel.loc, weights, mask));
    return;
  }
  VectorType shorts = kernel.lanes(kernel.i16()), halves = kernel.lanes(shape.element);
  auto narrow = [&](Value value) {
    Value low = arith::TruncIOp::create(kernel.builder, kernel.loc, shorts, value);
    return kernel.widen(kernel.bitcast(halves, low));
  };
  even = narrow(weights);
  odd = narrow(
      arith::ShRUIOp::create(kernel.builder, kernel.loc, weights, kernel.integer(words, 16)));
}

// Two bf16 activations in every lane of an i32 vector; with `half` the second is past the row's end
// and taken as zero.
Value PanelTile::activationPair(Value from, bool half) {
  if (!half)
    return kernel.broadcast(kernel.load(kernel.i32(), from));
  Value last = kernel.load(kernel.i16(), from);
  return kernel.broadcast(arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i32(), last));
}

SmallVector<Value> PanelTile::step(ArrayRef<Value> rows, Value weights, Value activationBytes,
                                   int64_t offset, int64_t vectors, SmallVector<Value> sums,
                                   bool half) {
  VectorType words = kernel.lanes(kernel.i32()), floats = kernel.lanes(kernel.f32());
  SmallVector<Value> even(vectors), odd(vectors);
  const bool dot = pairs && activation == kernel.bf16() && shape.element == kernel.bf16() &&
                   kernel.target.hasBf16Dot;
  VectorType dotOperand = kernel.lanes(kernel.bf16(), 2 * kLanes);
  for (int64_t v = 0; v < vectors; ++v) {
    Value at = kernel.address(weights, offset * shape.width * 4 + v * kLanes * 4);
    if (!pairs)
      even[v] = kernel.load(floats, at);
    else if (dot)
      even[v] = kernel.load(dotOperand, at);
    else
      widenPair(kernel.load(words, at), even[v], odd[v]);
  }
  auto multiply = [&](Value activations, ArrayRef<Value> operands, size_t row) {
    for (int64_t v = 0; v < vectors; ++v)
      sums[row * vectors + v] = kernel.fma(activations, operands[v], sums[row * vectors + v]);
  };
  for (auto [row, base] : llvm::enumerate(rows)) {
    Value from =
        kernel.address(kernel.addressBytes(base, activationBytes), offset * activationStep);
    if (dot) {
      Value pair = kernel.bitcast(dotOperand, activationPair(from, half));
      for (int64_t v = 0; v < vectors; ++v)
        sums[row * vectors + v] = kernel.bf16Dot(sums[row * vectors + v], pair, even[v]);
      continue;
    }
    if (activation == kernel.f32()) {
      multiply(kernel.broadcast(kernel.load(kernel.f32(), from)), even, row);
      if (pairs && !half)
        multiply(kernel.broadcast(kernel.load(kernel.f32(), kernel.address(from, 4))), odd, row);
      continue;
    }
    if (!pairs) {
      Value bits = arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i32(),
                                          kernel.load(kernel.i16(), from));
      Value shifted = arith::ShLIOp::create(kernel.builder, kernel.loc, kernel.broadcast(bits),
                                            kernel.integer(words, 16));
      multiply(kernel.bitcast(floats, shifted), even, row);
      continue;
    }
    Value pair = activationPair(from, half);
    Value low = arith::ShLIOp::create(kernel.builder, kernel.loc, pair, kernel.integer(words, 16));
    multiply(kernel.bitcast(floats, low), even, row);
    if (half)
      continue;
    Value high = arith::AndIOp::create(kernel.builder, kernel.loc, pair,
                                       kernel.integer(words, int32_t(0xffff0000)));
    multiply(kernel.bitcast(floats, high), odd, row);
  }
  return sums;
}

SmallVector<Value> PanelTile::emit(ArrayRef<Value> rows, Value panel, int64_t vectors, Value ahead,
                                   Value other) {
  Value zero = kernel.number(kernel.lanes(kernel.f32()), 0);
  SmallVector<Value> sums(rows.size() * vectors, zero);
  const int64_t unroll = rows.size() * vectors >= 12 ? 4 : 8;
  const int64_t looped = steps / unroll * unroll;
  auto at = [&](Value base, Value step) {
    return kernel.addressBytes(base, kernel.mul(step, kernel.integer(shape.width * 4)));
  };
  auto bytes = [&](Value step) { return kernel.mul(step, kernel.integer(activationStep)); };
  if (looped > 0)
    sums = kernel.loop(
        kernel.integer(0), kernel.integer(looped), unroll, sums,
        [&](Value first, ValueRange carried) {
          SmallVector<Value> inner(carried);
          Value weights = at(panel, first), offset = bytes(first), lines, others;
          if (ahead)
            lines = kernel.addressBytes(ahead, kernel.mul(first, kernel.integer(kLineBytes)));
          if (other)
            others = at(other, first);
          for (int64_t u = 0; u < unroll; ++u) {
            inner = step(rows, weights, offset, u, vectors, inner, /*half=*/false);
            if (ahead)
              kernel.prefetch(kernel.address(lines, u * kLineBytes));
            for (int64_t v = 0; other && v < vectors; ++v)
              kernel.prefetch(kernel.address(others, u * shape.width * 4 + v * kLineBytes));
          }
          return inner;
        });
  Value rest = kernel.integer(looped), weights = at(panel, rest), offset = bytes(rest);
  for (int64_t u = 0; u < steps - looped; ++u)
    sums = step(rows, weights, offset, u, vectors, sums, /*half=*/false);
  if (pairs && shape.depth % 2)
    sums = step(rows, weights, offset, steps - looped, vectors, sums, /*half=*/true);
  return sums;
}

void moec::emitRowTiles(KernelBuilder &kernel, Value count, int64_t tallest,
                        function_ref<void(Value first, int64_t height, Value tile)> body) {
  // Tiles of nearly equal height: 9 rows as 5 + 4 keep more sums in flight than 8 + 1.
  Value tiles = kernel.div(kernel.add(count, kernel.integer(tallest - 1)), kernel.integer(tallest));
  Value divisor = kernel.max(tiles, kernel.integer(1));
  Value height = kernel.div(count, divisor), taller = kernel.rem(count, divisor);
  kernel.loop(kernel.integer(0), tiles, 1, [&](Value tile) {
    Value first = kernel.add(kernel.mul(tile, height), kernel.min(tile, taller));
    Value isTaller =
        arith::CmpIOp::create(kernel.builder, kernel.loc, arith::CmpIPredicate::slt, tile, taller);
    Value rows = kernel.add(
        height, arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i64(), isTaller));
    kernel.dispatch(rows, 1, tallest, [&](int64_t h) { body(first, h, tile); });
  });
}

SmallVector<Value> moec::rowAddresses(KernelBuilder &kernel, const ActivationRows &rows,
                                      Value first, int64_t height) {
  SmallVector<Value> addresses;
  for (int64_t r = 0; r < height; ++r) {
    Value row = kernel.add(first, kernel.integer(r));
    if (rows.indices) {
      Value index = kernel.load(kernel.i32(), kernel.address(rows.indices, kernel.i32(), row));
      row = arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), index);
    }
    addresses.push_back(kernel.address(rows.base, rows.element, kernel.mul(row, rows.stride)));
  }
  return addresses;
}

static int64_t panelBytes(const PanelShape &shape) {
  return panelMatrixBytes(shape.width, shape.depth, bytesOf(shape.element));
}

void moec::emitPanelProduct(KernelBuilder &kernel, const ActivationRows &rows,
                            const PanelShape &shape, ArrayRef<Value> panels,
                            MatmulEpilogue epilogue, const ReadAhead &readAhead) {
  if (shape.layout == WeightLayout::Rows)
    return emitStoredProduct(kernel, rows, shape, panels, epilogue);
  const int64_t vectors = shape.width / kLanes, bytes = panelBytes(shape);
  emitRowTiles(
      kernel, rows.count, kernel.target.tileRows, [&](Value first, int64_t height, Value tile) {
        SmallVector<Value> addresses = rowAddresses(kernel, rows, first, height);
        // Few rows wait for memory anyway, and the hardware reads ahead. Many rows multiply long
        // enough for the next panel to arrive meanwhile: the first tiles ask for a part of it each.
        auto ahead = [&](Value panel) -> Value {
          if (!readAhead.following || readAhead.panel || height <= kernel.target.tileRows / 2)
            return {};
          Value part = kernel.min(tile, kernel.integer(vectors - 1));
          part = kernel.mul(part, kernel.integer(bytes / vectors / kLineBytes * kLineBytes));
          return kernel.addressBytes(panel, kernel.add(part, kernel.integer(bytes)));
        };
        const int64_t fitting = std::max<int64_t>(kernel.target.tileLanes / kLanes / height, 1);
        for (int64_t from = 0; from < vectors; from += fitting) {
          const int64_t taken = std::min(fitting, vectors - from);
          SmallVector<SmallVector<Value>> sums;
          auto part = [&](Value panel) { return kernel.address(panel, from * kLanes * 4); };
          Value other = readAhead.panel ? part(readAhead.panel) : Value();
          for (Value panel : panels)
            sums.push_back(PanelTile(kernel, shape, rows.element)
                               .emit(addresses, part(panel), taken,
                                     from == 0 ? ahead(panel) : Value(), other));
          for (int64_t r = 0; r < height; ++r)
            for (int64_t v = 0; v < taken; ++v) {
              const int64_t column = (from + v) * kLanes;
              SmallVector<Value> together;
              for (ArrayRef<Value> product : sums)
                together.push_back(product[r * taken + v]);
              epilogue(kernel.add(first, kernel.integer(r)), column,
                       std::min(kLanes, shape.columns - column), together);
            }
        }
      });
}

void moec::emitPanels(
    KernelBuilder &kernel, Type element, int64_t depth, int64_t columns, ArrayRef<Value> matrices,
    Value begin, Value end,
    function_ref<void(ArrayRef<Value> panels, Value column, const PanelShape &shape)> body,
    WeightLayout layout) {
  const int64_t full = columns / kPanelColumns;
  const int64_t lastWidth = panelColumns(columns) - full * kPanelColumns;
  const int64_t bytes = layout == WeightLayout::Rows
                            ? kPanelColumns * depth * bytesOf(element)
                            : panelMatrixBytes(kPanelColumns, depth, bytesOf(element));
  auto visit = [&](Value panel, int64_t width, int64_t existing) {
    SmallVector<Value> panels;
    for (Value matrix : matrices)
      panels.push_back(kernel.addressBytes(matrix, kernel.mul(panel, kernel.integer(bytes))));
    body(panels, kernel.mul(panel, kernel.integer(kPanelColumns)),
         {.element = element,
          .depth = depth,
          .width = width,
          .columns = existing,
          .layout = layout});
  };
  if (full > 0)
    kernel.loop(begin, kernel.min(end, kernel.integer(full)), 1,
                [&](Value panel) { visit(panel, kPanelColumns, kPanelColumns); });
  if (lastWidth > 0) {
    Value last = kernel.integer(full);
    auto compare = [&](arith::CmpIPredicate how, Value bound) {
      return arith::CmpIOp::create(kernel.builder, kernel.loc, how, bound, last);
    };
    Value inside =
        arith::AndIOp::create(kernel.builder, kernel.loc, compare(arith::CmpIPredicate::sle, begin),
                              compare(arith::CmpIPredicate::sgt, end));
    kernel.when(inside, [&] { visit(last, lastWidth, columns % kPanelColumns); });
  }
}
