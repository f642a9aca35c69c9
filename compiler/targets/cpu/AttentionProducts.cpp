// Register tiles of some rows by some panels of 16 columns. A sum runs over its depth in order.

#include "compiler/targets/cpu/AttentionProducts.h"

#include "compiler/targets/cpu/ProductFunctions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

static constexpr int64_t kLineBytes = 64, kUnroll = 2;

/// Rows of the tallest register tile: as many as common groups have. Four give enough sums in
/// flight; with six, sixteen registers do not hold what widens pairs.
static constexpr int64_t kTallest = 4;

static bool multipliesPairs(CpuKernelBuilder &kernel, const AttentionShape &shape) {
  return shape.element == kernel.bf16() && shape.queries == kernel.bf16() &&
         kernel.target.hasBf16Dot();
}

Type moec::attentionRowElement(CpuKernelBuilder &kernel, const AttentionShape &shape) {
  return multipliesPairs(kernel, shape) ? shape.element : kernel.f32();
}

/// That of what the values are multiplied as.
static AttentionShape shapeOfValues(CpuKernelBuilder &kernel, AttentionShape shape) {
  if (shape.latent)
    shape.element = kernel.f32();
  return shape;
}

Type moec::attentionWeightElement(CpuKernelBuilder &kernel, const AttentionShape &shape) {
  return attentionRowElement(kernel, shapeOfValues(kernel, shape));
}

namespace {

/// The body of a product function.
class PanelTiles {
public:
  /// Rows are `stride` bytes apart, panels `panelLines` lines of the cache.
  PanelTiles(CpuKernelBuilder &kernel, const AttentionShape &shape, Value rows, int64_t stride,
             Value count, Value panels, int64_t panelLines)
      : kernel(kernel), pairs(bytesOf(shape.element) == 2), dot(multipliesPairs(kernel, shape)),
        lineStep(pairs && !dot ? 8 : 4), rows(rows), stride(stride), count(count), panels(panels),
        panelBytes(panelLines * kLineBytes) {}

  /// Panels that a register tile takes of `panels`: about equally many each time.
  int64_t together(int64_t panels) const {
    const int64_t most = kernel.target.tileLanes / kLanes / kTallest;
    return llvm::divideCeil(panels, llvm::divideCeil(panels, most));
  }

  using Done = function_ref<void(Value row, Value panel, Value sum)>;
  /// Calls done(row, panel, sum) for all rows by the `taken` panels from `first` (i64) on. Of these
  /// the lines [begin, end) count, an even number, and where `odd` the one at `end`. The caches are
  /// asked for as many lines of the panels at `next`.
  void emit(Value first, int64_t taken, Value begin, Value end, bool odd, Value next, Done done);

private:
  /// Some rows by some panels; the lines at `asked`, if any, are those of the panels read next.
  struct Tile {
    Value firstRow;
    int64_t height;
    Value panels;
    int64_t taken;
    Value asked;
  };

  SmallVector<Value> addLines(const Tile &tile, Value line, int64_t lines, SmallVector<Value> sums);
  SmallVector<Value> addLine(ArrayRef<Value> left, ArrayRef<Value> right, SmallVector<Value> sums);
  Value columns(Value line, bool second);
  Value broadcastRow(Value from, bool second);

  CpuKernelBuilder &kernel;
  const bool pairs, dot;  // a line holds pairs; one instruction adds both products of a pair
  const int64_t lineStep; // bytes of a row that meet one line
  const Value rows;
  const int64_t stride;
  const Value count, panels;
  const int64_t panelBytes;
};

} // namespace

// Sixteen columns of a line, of pairs both or, widened, one of each.
Value PanelTiles::columns(Value line, bool second) {
  if (dot)
    return kernel.load(kernel.lanes(kernel.bf16(), 2 * kLanes), line);
  if (!pairs)
    return kernel.load(kernel.lanes(kernel.f32()), line);
  return kernel.widenHalf(kernel.load(kernel.lanes(kernel.i32()), line), second);
}

Value PanelTiles::broadcastRow(Value from, bool second) {
  if (dot)
    return kernel.bitcast(kernel.lanes(kernel.bf16(), 2 * kLanes),
                          kernel.broadcast(kernel.load(kernel.i32(), from)));
  return kernel.broadcast(kernel.load(kernel.f32(), kernel.address(from, second ? 4 : 0)));
}

/// The sums, [row][panel], after one more line of every panel.
SmallVector<Value> PanelTiles::addLine(ArrayRef<Value> left, ArrayRef<Value> right,
                                       SmallVector<Value> sums) {
  // Of pairs, all products with the first values come first: there are no registers for both.
  for (bool second : {false, true}) {
    if (second && (!pairs || dot))
      break;
    SmallVector<Value> loaded;
    for (Value line : right)
      loaded.push_back(columns(line, second));
    for (auto [r, row] : llvm::enumerate(left)) {
      Value value = broadcastRow(row, second);
      for (auto [p, column] : llvm::enumerate(loaded)) {
        Value &sum = sums[r * right.size() + p];
        sum = dot ? kernel.bf16Dot(sum, value, column) : kernel.fma(value, column, sum);
      }
    }
  }
  return sums;
}

/// The sums after `lines` more from the `line`th (i64) on.
SmallVector<Value> PanelTiles::addLines(const Tile &tile, Value line, int64_t lines,
                                        SmallVector<Value> sums) {
  Value row = kernel.add(kernel.mul(tile.firstRow, kernel.integer(stride)),
                         kernel.mul(line, kernel.integer(lineStep)));
  Value bytes = kernel.mul(line, kernel.integer(kLineBytes));
  for (int64_t l = 0; l < lines; ++l) {
    SmallVector<Value> left, right;
    for (int64_t r = 0; r < tile.height; ++r)
      left.push_back(kernel.address(kernel.addressBytes(rows, row), r * stride + l * lineStep));
    for (int64_t p = 0; p < tile.taken; ++p) {
      const int64_t offset = p * panelBytes + l * kLineBytes;
      right.push_back(kernel.address(kernel.addressBytes(tile.panels, bytes), offset));
      if (tile.asked)
        kernel.prefetch(kernel.address(kernel.addressBytes(tile.asked, bytes), offset));
    }
    sums = addLine(left, right, sums);
  }
  return sums;
}

void PanelTiles::emit(Value first, int64_t taken, Value begin, Value end, bool odd, Value next,
                      Done done) {
  Value offset = kernel.mul(first, kernel.integer(panelBytes));
  Value start = kernel.addressBytes(panels, offset);
  next = kernel.addressBytes(next, offset);
  auto emitTile = [&](Value firstRow, Value height, Value asked) {
    kernel.dispatch(height, 1, kTallest, [&](int64_t height) {
      const Tile tile{firstRow, height, start, taken, asked};
      SmallVector<Value> sums(height * taken, kernel.number(kernel.lanes(kernel.f32()), 0));
      sums = kernel.loop(begin, end, kUnroll, sums, [&](Value line, ValueRange carried) {
        return addLines(tile, line, kUnroll, SmallVector<Value>(carried));
      });
      if (odd)
        sums = addLines(tile, end, 1, sums);
      for (auto [i, sum] : llvm::enumerate(sums))
        done(kernel.add(firstRow, kernel.integer(i / taken)),
             kernel.add(first, kernel.integer(i % taken)), sum);
    });
  };
  // The first rows wait for memory, which the hardware alone does not read far enough ahead; the
  // others find what those asked for.
  Value tallest = kernel.integer(kTallest);
  emitTile(kernel.integer(0), kernel.min(count, tallest), next);
  Value others = kernel.max(kernel.sub(count, tallest), kernel.integer(0));
  emitRowTiles(kernel, others, kTallest, [&](Value firstRow, Value height, Value) {
    emitTile(kernel.add(firstRow, tallest), height, {});
  });
}

static std::string functionName(StringRef stem, const AttentionShape &shape, int64_t size) {
  std::string name;
  llvm::raw_string_ostream(name) << stem << '_' << shape.queries << '_' << shape.element << '_'
                                 << size << 'x' << shape.block;
  return name;
}

void moec::callAttentionScores(CpuKernelBuilder &kernel, const AttentionShape &shape, Value queries,
                               Value rows, Value keys, Value scores, Value begin, Value end,
                               Value next) {
  kernel.call(
      functionName("attention_scores", shape, shape.size),
      {queries, rows, keys, scores, begin, end, next},
      [&](CpuKernelBuilder &inside, ValueRange given) {
        const int64_t lines = shape.keyDepth() * bytesOf(shape.element) / 4, odd = lines % kUnroll;
        const int64_t stride = shape.keyDepth() * bytesOf(attentionRowElement(inside, shape));
        PanelTiles tiles(inside, shape, given[0], stride, given[1], given[2], lines);
        Value lanes = inside.integer(kLanes), scores = given[3];
        auto emit = [&](Value first, int64_t taken) {
          tiles.emit(first, taken, inside.integer(0), inside.integer(lines - odd), odd, given[6],
                     [&](Value row, Value panel, Value sum) {
                       Value at = inside.add(inside.mul(row, inside.integer(shape.block)),
                                             inside.mul(panel, lanes));
                       inside.store(sum, inside.address(scores, inside.f32(), at));
                     });
        };
        // Keys that nobody sees are left out at both ends.
        const int64_t together = tiles.together(shape.block / kLanes);
        Value first = inside.div(given[4], lanes), last = inside.div(given[5], lanes);
        Value rest = inside.rem(inside.sub(last, first), inside.integer(together));
        Value whole = inside.sub(last, rest);
        inside.loop(first, whole, together, [&](Value panel) { emit(panel, together); });
        if (together > 1)
          inside.dispatch(rest, 1, together - 1, [&](int64_t taken) { emit(whole, taken); });
      });
}

void moec::callAttentionSums(CpuKernelBuilder &kernel, const AttentionShape &stored, Value weights,
                             Value rows, Value values, Value factors, Value sums, Value begin,
                             Value end, Value next) {
  const AttentionShape shape = shapeOfValues(kernel, stored);
  kernel.call(functionName("attention_sums", shape, shape.valueWidth()),
              {weights, rows, values, factors, sums, begin, end, next},
              [&](CpuKernelBuilder &inside, ValueRange given) {
                const int64_t perLine = 4 / bytesOf(shape.element);
                PanelTiles tiles(inside, shape, given[0], shape.block * 4, given[1], given[2],
                                 shape.block / perLine);
                Value lanes = inside.integer(kLanes), width = inside.integer(shape.valueWidth());
                Value factors = given[3], sums = given[4], begin = given[5], end = given[6];
                if (perLine > 1) {
                  begin = inside.div(begin, inside.integer(perLine));
                  end = inside.div(end, inside.integer(perLine));
                }
                const int64_t panels = shape.valueWidth() / kLanes,
                              together = tiles.together(panels);
                Value next = given[7];
                auto emit = [&](Value first, int64_t taken) {
                  tiles.emit(first, taken, begin, end, /*odd=*/false, next,
                             [&](Value row, Value panel, Value sum) {
                               Value at = inside.address(
                                   sums, inside.f32(),
                                   inside.add(inside.mul(row, width), inside.mul(panel, lanes)));
                               Value older = inside.load(inside.lanes(inside.f32()), at);
                               Value factor = inside.broadcast(inside.load(
                                   inside.f32(), inside.address(factors, inside.f32(), row)));
                               inside.store(inside.fma(older, factor, sum), at);
                             });
                };
                const int64_t rest = panels % together;
                inside.loop(inside.integer(0), inside.integer(panels - rest), together,
                            [&](Value panel) { emit(panel, together); });
                if (rest > 0)
                  emit(inside.integer(panels - rest), rest);
              });
}
