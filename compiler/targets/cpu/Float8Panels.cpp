// The product function of weights of fp8: sums of floats within a group, then its scales.

#include "compiler/targets/cpu/PanelStep.h"
#include "compiler/targets/cpu/ProductFunctions.h"

#include "compiler/analysis/PackedWeights.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

static constexpr int64_t kGroup = traitsOf(QuantFormat::Fp8).group;
static constexpr int64_t kScaleBytes = quantScaleBytes(QuantFormat::Fp8);

namespace {

/// The body of a product function: register tiles of some rows by some vectors of columns, over all
/// groups.
class Float8Product {
public:
  Float8Product(KernelBuilder &kernel, Type activation, Type weight, const TileOperands &tile,
                Value depth, Value vectors)
      : kernel(kernel), step(kernel, activation, weight), tile(tile), depth(depth),
        vectors(vectors), stride(kernel.mul(vectors, kernel.integer(step.lineBytes))),
        groupBytes(kernel.mul(vectors, kernel.integer(kLanes * (kGroup + kScaleBytes)))) {}

  void emit();

private:
  /// A group of the pass at hand: where its activations are, its weights, and its scales.
  struct Group {
    SmallVector<Value> rows;
    Value weights, scales;
  };

  void emitPass(ArrayRef<Value> rows, int64_t taken, Value from);
  Group groupAt(ArrayRef<Value> rows, Value from, Value number);
  SmallVector<Value> addSteps(const Group &group, Value first, int64_t count,
                              SmallVector<Value> sums, bool half = false);
  SmallVector<Value> addScaled(const Group &group, ArrayRef<Value> products, ValueRange sums);

  KernelBuilder &kernel;
  const PanelStep step;
  const TileOperands &tile;
  const Value depth;      // K
  const Value vectors;    // of the panel
  const Value stride;     // bytes of the panel in a step
  const Value groupBytes; // of a group in the panel
};

} // namespace

/// Group `number` of the pass over the vectors from `from` (both i64) on.
Float8Product::Group Float8Product::groupAt(ArrayRef<Value> rows, Value from, Value number) {
  Value record = kernel.addressBytes(tile.panel, kernel.mul(number, groupBytes));
  // Of the last group as many columns as make words of four whole.
  Value columns = kernel.min(kernel.sub(depth, kernel.mul(number, kernel.integer(kGroup))),
                             kernel.integer(kGroup));
  columns = kernel.bitAnd(kernel.add(columns, kernel.integer(3)), kernel.integer(-4));
  Value scales =
      kernel.addressBytes(record, kernel.mul(kernel.mul(vectors, kernel.integer(kLanes)), columns));
  Group group{{},
              kernel.addressBytes(record, kernel.mul(from, kernel.integer(step.lineBytes))),
              kernel.addressBytes(scales, kernel.mul(from, kernel.integer(kLanes * kScaleBytes)))};
  const int64_t activations = kGroup / step.depth * step.activationBytes;
  for (Value row : rows)
    group.rows.push_back(kernel.addressBytes(row, kernel.mul(number, kernel.integer(activations))));
  return group;
}

/// The sums of a group after `count` steps from the `first`th (i64) on.
SmallVector<Value> Float8Product::addSteps(const Group &group, Value first, int64_t count,
                                           SmallVector<Value> sums, bool half) {
  Value weights = kernel.addressBytes(group.weights, kernel.mul(first, stride));
  SmallVector<Value> rows;
  for (Value row : group.rows)
    rows.push_back(
        kernel.addressBytes(row, kernel.mul(first, kernel.integer(step.activationBytes))));
  for (int64_t s = 0; s < count; ++s) {
    if (waitsForMemory(rows.size(), kernel.target.tileRows))
      askAhead(kernel, weights, sums.size() / rows.size() * step.lineBytes);
    sums = step.emit(rows, weights, std::move(sums), half);
    for (Value &row : rows)
      row = kernel.address(row, step.activationBytes);
    weights = kernel.addressBytes(weights, stride);
  }
  return sums;
}

/// `sums` and the products of a group, times its scales.
SmallVector<Value> Float8Product::addScaled(const Group &group, ArrayRef<Value> products,
                                            ValueRange sums) {
  const VectorType floats = kernel.lanes(kernel.f32());
  const size_t taken = products.size() / group.rows.size();
  SmallVector<Value> scales, results;
  if (waitsForMemory(group.rows.size(), kernel.target.tileRows))
    askAhead(kernel, group.scales, static_cast<int64_t>(taken) * kLanes * kScaleBytes);
  for (size_t v = 0; v < taken; ++v)
    scales.push_back(
        kernel.mul(kernel.load(floats, kernel.address(group.scales, floats,
                                                      kernel.integer(static_cast<int64_t>(v)))),
                   kernel.number(floats, PanelStep::kFloat8Unit)));
  for (auto [index, product] : llvm::enumerate(products))
    results.push_back(kernel.fma(product, scales[index % taken], sums[index]));
  return results;
}

/// The product of the rows with the `taken` vectors from `from` (i64) on: the sum over the groups
/// of the first half of K plus that over the others.
void Float8Product::emitPass(ArrayRef<Value> rows, int64_t taken, Value from) {
  const size_t count = rows.size() * static_cast<size_t>(taken);
  const SmallVector<Value> zeros(count, kernel.number(kernel.lanes(kernel.f32()), 0));
  // Tiles of few sums have short loops.
  const int64_t unroll = count * kLanes * 4 >= size_t(kernel.target.tileLanes) ? 2 : 4;
  Value zero = kernel.integer(0), groupSteps = kernel.integer(kGroup / step.depth);
  Value whole = kernel.div(depth, kernel.integer(kGroup)),
        middle = kernel.div(whole, kernel.integer(2));
  // Adds the groups at `number` of each of the stretches of K that begin at `starts`; `sums` has
  // those of one stretch after another.
  auto addGroups = [&](ArrayRef<Value> starts, Value number, ValueRange sums) {
    SmallVector<Group> groups;
    for (Value start : starts)
      groups.push_back(groupAt(rows, from, kernel.add(start, number)));
    const SmallVector<Value> none(count * groups.size(), zeros.front());
    SmallVector<Value> products =
        kernel.loop(zero, groupSteps, unroll, none, [&](Value first, ValueRange carried) {
          SmallVector<Value> now;
          for (auto [index, group] : llvm::enumerate(groups)) {
            ValueRange own = carried.slice(index * count, count);
            now.append(addSteps(group, first, unroll, SmallVector<Value>(own)));
          }
          return now;
        });
    SmallVector<Value> results;
    for (auto [index, group] : llvm::enumerate(groups))
      results.append(addScaled(group, ArrayRef(products).slice(index * count, count),
                               sums.slice(index * count, count)));
    return results;
  };
  auto place = [&](size_t index) {
    return kernel.address(tile.sums, kernel.lanes(kernel.f32()),
                          sumVector(kernel, vectors, index, taken, from));
  };

  // Few rows wait for memory, which may give more to two streams of reads.
  SmallVector<Value> low, high;
  Value begin = middle; // of what the second half still lacks
  if (readsHalvesTogether(kernel.target, count)) {
    const SmallVector<Value> none(2 * count, zeros.front());
    SmallVector<Value> both =
        kernel.loop(zero, middle, 1, none, [&](Value number, ValueRange carried) {
          return addGroups({zero, middle}, number, carried);
        });
    low.assign(both.begin(), both.begin() + count);
    high.assign(both.begin() + count, both.end());
    begin = kernel.mul(middle, kernel.integer(2));
  } else {
    low = kernel.loop(zero, middle, 1, zeros, [&](Value number, ValueRange carried) {
      return addGroups({zero}, number, carried);
    });
    high = zeros;
  }
  for (auto [index, sum] : llvm::enumerate(low))
    kernel.store(sum, place(index));
  high = kernel.loop(begin, whole, 1, high, [&](Value number, ValueRange carried) {
    return addGroups({zero}, number, carried);
  });

  // The group that K ends in.
  Value rest = kernel.rem(depth, kernel.integer(kGroup)),
        groups = kernel.div(kernel.add(depth, kernel.integer(kGroup - 1)), kernel.integer(kGroup));
  high = kernel.loop(whole, groups, 1, high, [&](Value number, ValueRange carried) {
    const Group group = groupAt(rows, from, number);
    auto run = [&](Value first, Value end, ArrayRef<Value> sums, bool half) {
      return kernel.loop(first, end, 1, sums, [&](Value at, ValueRange now) {
        return addSteps(group, at, 1, SmallVector<Value>(now), half);
      });
    };
    Value pairs = kernel.div(rest, kernel.integer(step.depth));
    SmallVector<Value> products = run(zero, pairs, zeros, /*half=*/false);
    Value odd = kernel.add(pairs, kernel.rem(rest, kernel.integer(step.depth)));
    return addScaled(group, run(pairs, odd, products, /*half=*/true), carried);
  });
  for (auto [index, sum] : llvm::enumerate(high))
    kernel.store(kernel.add(kernel.load(sum.getType(), place(index)), sum), place(index));
}

void Float8Product::emit() {
  emitRegisterTiles(
      kernel, tile, vectors, kernel.target.tileRows, kernel.target.tileLanes,
      [&](ArrayRef<Value> rows, int64_t taken, Value from) { emitPass(rows, taken, from); });
}

void moec::callFloat8Product(KernelBuilder &kernel, Type activation, const PanelShape &shape,
                             const TileOperands &tile) {
  std::string name = "product_";
  llvm::raw_string_ostream(name) << activation << '_' << traitsOf(QuantFormat::Fp8).name;
  SmallVector<Value> arguments = tile.asArguments();
  arguments.push_back(kernel.integer(shape.depth));
  arguments.push_back(kernel.integer(shape.width / kLanes));
  kernel.call(name, arguments, [&](KernelBuilder &inside, ValueRange given) {
    const auto operands = TileOperands::fromArguments(given);
    given = given.drop_front(TileOperands::kCount);
    Float8Product(inside, activation, shape.element, operands, given[0], given[1]).emit();
  });
}
