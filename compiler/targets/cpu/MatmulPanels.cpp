// The product function of the packed layout: lanes along N, no horizontal sums, weights streamed
// once per row tile.

#include "compiler/targets/cpu/ProductFunctions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

static constexpr int64_t kLineBytes = 64;

/// Vectors of a panel that a register tile takes at most: those of a weight's full panel.
static constexpr int64_t kMostVectors = kPanelColumns / kLanes;

namespace {

/// The body of a product function: register tiles of some rows by some vectors of columns, over all
/// of K.
class PanelProduct {
public:
  PanelProduct(KernelBuilder &kernel, Type activation, Type element, const TileOperands &tile,
               Value depth, Value vectors)
      : kernel(kernel), activation(activation), element(element), pairs(bytesOf(element) == 2),
        activationStep(bytesOf(activation) * (pairs ? 2 : 1)), tile(tile), depth(depth),
        vectors(vectors), stride(kernel.mul(vectors, kernel.integer(kLineBytes))),
        steps(pairs ? kernel.div(depth, kernel.integer(2)) : depth) {}

  /// Where `other` is a panel, every step asks for the same lines of it; else many rows ask for the
  /// panel that follows.
  void emit(Value other);

private:
  /// Where a register tile reads, and what it asks for beside; all advance with K.
  struct Sources {
    SmallVector<Value> rows;
    Value weights, lines, other;
    Value lineStride; // bytes from one of `lines` to the next
  };

  void emitPass(ArrayRef<Value> rows, int64_t taken, Value from, Value other);
  SmallVector<Value> run(Value begin, Value end, int64_t unroll, int64_t taken,
                         const Sources &start, SmallVector<Value> sums, bool half);
  SmallVector<Value> step(const Sources &sources, int64_t offset, int64_t taken,
                          SmallVector<Value> sums, bool half);
  Value widenOne(Value weights, bool second);
  Value upperHalf(Value pairs, bool second);
  Value activationPair(Value from, bool single);
  Value activationLanes(Value from, bool second, bool single);

  KernelBuilder &kernel;
  const Type activation, element;
  const bool pairs;             // a step takes two of K
  const int64_t activationStep; // bytes of a row's activations in a step
  const TileOperands &tile;
  const Value depth;   // K
  const Value vectors; // of the panel
  const Value stride;  // bytes of the panel in a step: a line per vector
  const Value steps;   // whole ones
};

} // namespace

// One of the two values in each lane's pair of 16-bit weights, as f32.
Value PanelProduct::widenOne(Value weights, bool second) {
  VectorType words = kernel.lanes(kernel.i32()), floats = kernel.lanes(kernel.f32());
  if (element == kernel.bf16())
    return kernel.bitcast(floats, upperHalf(weights, second));
  if (second)
    weights =
        arith::ShRUIOp::create(kernel.builder, kernel.loc, weights, kernel.integer(words, 16));
  Value low =
      arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.lanes(kernel.i16()), weights);
  return kernel.widen(kernel.bitcast(kernel.lanes(element), low));
}

// The bits of the f32 that one of the two bf16 in each lane is.
Value PanelProduct::upperHalf(Value pairs, bool second) {
  VectorType words = kernel.lanes(kernel.i32());
  if (second)
    return arith::AndIOp::create(kernel.builder, kernel.loc, pairs,
                                 kernel.integer(words, int32_t(0xffff0000)));
  return arith::ShLIOp::create(kernel.builder, kernel.loc, pairs, kernel.integer(words, 16));
}

// Two bf16 activations in every lane of an i32 vector; with `single` the second is not to be read
// and taken as zero.
Value PanelProduct::activationPair(Value from, bool single) {
  if (!single)
    return kernel.broadcast(kernel.load(kernel.i32(), from));
  Value last = kernel.load(kernel.i16(), from);
  return kernel.broadcast(arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i32(), last));
}

// One of the activations of a step as f32, in every lane.
Value PanelProduct::activationLanes(Value from, bool second, bool single) {
  if (activation == kernel.f32())
    return kernel.broadcast(kernel.load(kernel.f32(), kernel.address(from, second ? 4 : 0)));
  return kernel.bitcast(kernel.lanes(kernel.f32()),
                        upperHalf(activationPair(from, single), second));
}

/// The sums after one more step, the `offset`th from `sources`; `half` where K ends within it.
SmallVector<Value> PanelProduct::step(const Sources &sources, int64_t offset, int64_t taken,
                                      SmallVector<Value> sums, bool half) {
  const bool single = !pairs || half;
  auto weights = [&](Type type, int64_t vector) {
    return kernel.load(type, kernel.address(sources.weights, vector * kLineBytes));
  };
  auto multiply = [&](function_ref<Value(Value from)> activations, ArrayRef<Value> operands,
                      function_ref<Value(Value sum, Value a, Value b)> accumulate) {
    for (auto [row, base] : llvm::enumerate(sources.rows)) {
      Value values = activations(kernel.address(base, offset * activationStep));
      for (int64_t v = 0; v < taken; ++v) {
        Value &sum = sums[row * taken + v];
        sum = accumulate(sum, values, operands[v]);
      }
    }
  };
  SmallVector<Value> operands(taken);
  if (pairs && activation == kernel.bf16() && element == kernel.bf16() &&
      kernel.target.hasBf16Dot) {
    VectorType type = kernel.lanes(kernel.bf16(), 2 * kLanes);
    for (int64_t v = 0; v < taken; ++v)
      operands[v] = weights(type, v);
    multiply([&](Value from) { return kernel.bitcast(type, activationPair(from, single)); },
             operands, [&](Value sum, Value a, Value b) { return kernel.bf16Dot(sum, a, b); });
    return sums;
  }
  // All rows by the first of each pair, then all by the second: the weights of both, widened, would
  // take more registers than there are.
  for (bool second : {false, true}) {
    if (second && single)
      break;
    for (int64_t v = 0; v < taken; ++v)
      operands[v] = pairs ? widenOne(weights(kernel.lanes(kernel.i32()), v), second)
                          : weights(kernel.lanes(kernel.f32()), v);
    multiply([&](Value from) { return activationLanes(from, second, single); }, operands,
             [&](Value sum, Value a, Value b) { return kernel.fma(a, b, sum); });
  }
  return sums;
}

/// The sums after the steps from `begin` to `end`, a multiple of `unroll` of them.
SmallVector<Value> PanelProduct::run(Value begin, Value end, int64_t unroll, int64_t taken,
                                     const Sources &start, SmallVector<Value> sums, bool half) {
  return kernel.loop(begin, end, unroll, sums, [&](Value first, ValueRange carried) {
    SmallVector<Value> inner(carried);
    auto advance = [&](Value base, Value bytes) {
      return base ? kernel.addressBytes(base, kernel.mul(first, bytes)) : Value();
    };
    Sources now{{},
                advance(start.weights, stride),
                advance(start.lines, start.lineStride),
                advance(start.other, stride),
                start.lineStride};
    for (Value row : start.rows)
      now.rows.push_back(advance(row, kernel.integer(activationStep)));
    for (int64_t u = 0; u < unroll; ++u) {
      inner = step(now, u, taken, inner, half);
      if (now.lines)
        kernel.prefetch(now.lines);
      for (int64_t v = 0; now.other && v < taken; ++v)
        kernel.prefetch(kernel.address(now.other, v * kLineBytes));
      auto next = [&](Value &base, Value bytes) {
        if (base)
          base = kernel.addressBytes(base, bytes);
      };
      next(now.weights, stride);
      next(now.lines, start.lineStride);
      next(now.other, stride);
    }
    return inner;
  });
}

/// `taken` vectors from `from` (i64) on.
void PanelProduct::emitPass(ArrayRef<Value> rows, int64_t taken, Value from, Value other) {
  Value offset = kernel.mul(from, kernel.integer(kLineBytes));
  Sources sources{SmallVector<Value>(rows), kernel.addressBytes(tile.panel, offset), {}, {}, {}};
  if (other) {
    sources.other = kernel.addressBytes(other, offset);
  } else if (int64_t(rows.size()) > kernel.target.tileRows / 2) {
    // Few rows wait for memory anyway, and the hardware reads ahead. Many rows multiply long enough
    // for the next panel to arrive meanwhile: the first tiles ask for a part of it each, a line per
    // step; later ones ask again for what is there.
    Value last = kernel.sub(vectors, kernel.integer(1));
    Value allSteps =
        pairs ? kernel.div(kernel.add(depth, kernel.integer(1)), kernel.integer(2)) : depth;
    Value part = kernel.mul(kernel.add(vectors, kernel.min(tile.number, last)), allSteps);
    sources.lines = kernel.addressBytes(tile.panel, kernel.mul(part, kernel.integer(kLineBytes)));
    Value asks = arith::CmpIOp::create(kernel.builder, kernel.loc, arith::CmpIPredicate::slt,
                                       tile.number, vectors);
    sources.lineStride = kernel.select(asks, kernel.integer(kLineBytes), kernel.integer(0));
  }
  SmallVector<Value> sums(rows.size() * taken, kernel.number(kernel.lanes(kernel.f32()), 0));
  const int64_t unroll = sums.size() * kLanes * 4 >= size_t(kernel.target.tileLanes) ? 2 : 4;
  Value begin = kernel.integer(0);
  Value looped = kernel.sub(steps, kernel.rem(steps, kernel.integer(unroll)));
  sums = run(begin, looped, unroll, taken, sources, sums, /*half=*/false);
  sources.lines = sources.other = Value();
  sums = run(looped, steps, 1, taken, sources, sums, /*half=*/false);
  if (pairs) {
    Value odd = kernel.add(steps, kernel.rem(depth, kernel.integer(2)));
    sums = run(steps, odd, 1, taken, sources, sums, /*half=*/true);
  }
  for (auto [index, sum] : llvm::enumerate(sums)) {
    const int64_t row = index / taken, vector = index % taken;
    Value column = kernel.add(kernel.mul(kernel.integer(row), vectors),
                              kernel.add(from, kernel.integer(vector)));
    kernel.store(sum, kernel.address(tile.sums, kernel.lanes(kernel.f32()), column));
  }
}

void PanelProduct::emit(Value other) {
  kernel.dispatch(tile.height, 1, kernel.target.tileRows, [&](int64_t height) {
    SmallVector<Value> rows = tile.loadRows(kernel, height);
    const int64_t fitting =
        std::clamp<int64_t>(kernel.target.tileLanes / kLanes / height, 1, kMostVectors);
    Value rest = kernel.rem(vectors, kernel.integer(fitting)), whole = kernel.sub(vectors, rest);
    kernel.loop(kernel.integer(0), whole, fitting,
                [&](Value from) { emitPass(rows, fitting, from, other); });
    if (fitting > 1)
      kernel.dispatch(rest, 1, fitting - 1,
                      [&](int64_t taken) { emitPass(rows, taken, whole, other); });
  });
}

void moec::callPanelProduct(KernelBuilder &kernel, Type activation, const PanelShape &shape,
                            const TileOperands &tile, Value other) {
  std::string name = productName("product", activation, shape.element) + (other ? "_asking" : "");
  SmallVector<Value> arguments = tile.asArguments();
  arguments.push_back(kernel.integer(shape.depth));
  arguments.push_back(kernel.integer(shape.width / kLanes));
  if (other)
    arguments.push_back(other);
  kernel.call(name, arguments, [&](KernelBuilder &inside, ValueRange given) {
    const auto operands = TileOperands::fromArguments(given);
    ValueRange others = given.drop_front(TileOperands::kCount);
    PanelProduct(inside, activation, shape.element, operands, others[0], others[1])
        .emit(other ? others[2] : Value());
  });
}
