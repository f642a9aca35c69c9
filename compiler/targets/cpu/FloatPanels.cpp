// The product functions of weights whose codes are multiplied as floats: sums within a group, then
// its scales.

#include "compiler/targets/cpu/PanelStep.h"
#include "compiler/targets/cpu/ProductFunctions.h"

#include "compiler/analysis/PackedWeights.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

namespace {

/// The body of a product function: register tiles of some rows by some vectors of columns, over all
/// groups.
class FloatProduct {
public:
  FloatProduct(CpuKernelBuilder &kernel, Type activation, Type weight, const TileOperands &tile,
               Value depth, Value vectors)
      : kernel(kernel), traits(traitsOf(*quantFormatOf(weight))),
        scaleBytes(quantScaleBytes(traits.format)), step(kernel, activation, weight), tile(tile),
        depth(depth), vectors(vectors), stride(kernel.mul(vectors, kernel.integer(step.lineBytes))),
        groupBytes(kernel.mul(
            vectors, kernel.integer(kLanes * (traits.group * traits.bits / 8 + scaleBytes)))) {}

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
  SmallVector<Value> addRest(ArrayRef<Value> rows, Value from, Value whole, ArrayRef<Value> zeros,
                             ArrayRef<Value> sums);
  Value loadScale(Value scales, int64_t vector);

  CpuKernelBuilder &kernel;
  const QuantTraits &traits;
  const int64_t scaleBytes;
  const PanelStep step;
  const TileOperands &tile;
  const Value depth;      // K
  const Value vectors;    // of the panel
  const Value stride;     // bytes of the panel in a step
  const Value groupBytes; // of a group in the panel
};

} // namespace

/// Group `number` of the pass over the vectors from `from` (both i64) on.
FloatProduct::Group FloatProduct::groupAt(ArrayRef<Value> rows, Value from, Value number) {
  Value record = kernel.addressBytes(tile.panel, kernel.mul(number, groupBytes));
  Value codeBytes = kernel.integer(traits.group * traits.bits / 8);
  if (traits.codes == QuantCodes::Floats8) {
    // Of the last group as many columns as make words of four whole.
    Value size = kernel.integer(traits.group);
    Value columns = kernel.min(kernel.sub(depth, kernel.mul(number, size)), size);
    codeBytes = kernel.bitAnd(kernel.add(columns, kernel.integer(3)), kernel.integer(-4));
  }
  Value scales = kernel.addressBytes(
      record, kernel.mul(kernel.mul(vectors, kernel.integer(kLanes)), codeBytes));
  Group group{{},
              kernel.addressBytes(record, kernel.mul(from, kernel.integer(step.lineBytes))),
              kernel.addressBytes(scales, kernel.mul(from, kernel.integer(kLanes * scaleBytes)))};
  const int64_t activations = traits.group / step.depth * step.activationBytes;
  for (Value row : rows)
    group.rows.push_back(kernel.addressBytes(row, kernel.mul(number, kernel.integer(activations))));
  return group;
}

/// The sums of a group after `count` steps from the `first`th (i64) on.
SmallVector<Value> FloatProduct::addSteps(const Group &group, Value first, int64_t count,
                                          SmallVector<Value> sums, bool half) {
  Value weights = kernel.addressBytes(group.weights, kernel.mul(first, stride));
  SmallVector<Value> rows;
  for (Value row : group.rows)
    rows.push_back(
        kernel.addressBytes(row, kernel.mul(first, kernel.integer(step.activationBytes))));
  for (int64_t s = 0; s < count; ++s) {
    if (waitsForMemory(rows.size(), kernel.target.tileRows))
      askAhead(kernel, kernel.target.floatAhead, weights,
               sums.size() / rows.size() * step.lineBytes);
    sums = step.emit(rows, weights, std::move(sums), half);
    for (Value &row : rows)
      row = kernel.address(row, step.activationBytes);
    weights = kernel.addressBytes(weights, stride);
  }
  return sums;
}

/// The scales of 16 columns, times what codes that count as 1 stand for.
Value FloatProduct::loadScale(Value scales, int64_t vector) {
  const VectorType floats = kernel.lanes(kernel.f32());
  Value at = kernel.address(scales, vector * kLanes * scaleBytes);
  Value scale;
  if (traits.codes == QuantCodes::Floats8) {
    scale = traits.scaleRows == 1 ? kernel.load(floats, at)
                                  : kernel.broadcast(kernel.load(kernel.f32(), at));
  } else { // an exponent, as floats have theirs
    Value exponent = arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.lanes(kernel.i32()),
                                            kernel.load(kernel.lanes(kernel.i8()), at));
    scale = kernel.bitcast(floats, kernel.shiftLeft(exponent, 23));
  }
  return kernel.mul(scale, kernel.number(floats, step.unit()));
}

/// `sums` and the products of a group, times its scales.
SmallVector<Value> FloatProduct::addScaled(const Group &group, ArrayRef<Value> products,
                                           ValueRange sums) {
  const size_t taken = products.size() / group.rows.size();
  SmallVector<Value> scales, results;
  if (waitsForMemory(group.rows.size(), kernel.target.tileRows))
    askAhead(kernel, kernel.target.floatAhead, group.scales,
             static_cast<int64_t>(taken) * kLanes * scaleBytes);
  for (size_t v = 0; v < taken; ++v)
    scales.push_back(loadScale(group.scales, static_cast<int64_t>(v)));
  for (auto [index, product] : llvm::enumerate(products))
    results.push_back(kernel.fma(product, scales[index % taken], sums[index]));
  return results;
}

/// The product of the rows with the `taken` vectors from `from` (i64) on: the sum over the groups
/// of the first half of K plus that over the others.
void FloatProduct::emitPass(ArrayRef<Value> rows, int64_t taken, Value from) {
  const size_t count = rows.size() * static_cast<size_t>(taken);
  const SmallVector<Value> zeros(count, kernel.number(kernel.lanes(kernel.f32()), 0));
  // Tiles of few sums have short loops, but for steps of many columns.
  const int64_t unroll = step.depth > 2                                          ? 1
                         : count * kLanes * 4 >= size_t(kernel.target.tileLanes) ? 2
                                                                                 : 4;
  Value zero = kernel.integer(0), groupSize = kernel.integer(traits.group),
        groupSteps = kernel.integer(traits.group / step.depth);
  Value whole = kernel.div(depth, groupSize), middle = kernel.div(whole, kernel.integer(2));
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

  // Few rows wait for memory, which gives more to two streams of reads.
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

  if (traits.codes == QuantCodes::Floats8) // others have whole groups only
    high = addRest(rows, from, whole, zeros, high);
  for (auto [index, sum] : llvm::enumerate(high))
    kernel.store(kernel.add(kernel.load(sum.getType(), place(index)), sum), place(index));
}

/// `sums` and the products of the group that K ends in, number `whole`, if there is one.
SmallVector<Value> FloatProduct::addRest(ArrayRef<Value> rows, Value from, Value whole,
                                         ArrayRef<Value> zeros, ArrayRef<Value> sums) {
  Value rest = kernel.rem(depth, kernel.integer(traits.group)),
        groups = kernel.div(kernel.add(depth, kernel.integer(traits.group - 1)),
                            kernel.integer(traits.group));
  return kernel.loop(whole, groups, 1, sums, [&](Value number, ValueRange carried) {
    const Group group = groupAt(rows, from, number);
    auto run = [&](Value first, Value end, ArrayRef<Value> now, bool half) {
      return kernel.loop(first, end, 1, now, [&](Value at, ValueRange products) {
        return addSteps(group, at, 1, SmallVector<Value>(products), half);
      });
    };
    Value pairs = kernel.div(rest, kernel.integer(step.depth));
    SmallVector<Value> products = run(kernel.integer(0), pairs, zeros, /*half=*/false);
    Value odd = kernel.add(pairs, kernel.rem(rest, kernel.integer(step.depth)));
    return addScaled(group, run(pairs, odd, products, /*half=*/true), carried);
  });
}

void FloatProduct::emit() {
  emitRegisterTiles(
      kernel, tile, vectors, kernel.target.tileRows, kernel.target.tileLanes,
      [&](ArrayRef<Value> rows, int64_t taken, Value from) { emitPass(rows, taken, from); });
}

bool moec::exchangesColumns(CpuKernelBuilder &kernel, Type activation, const PanelShape &shape) {
  return PanelStep(kernel, activation, shape.element).exchangesColumns();
}

void moec::exchangeColumns(CpuKernelBuilder &kernel, const PanelShape &shape, Value rows,
                           Value height, Value room) {
  const int64_t chunk = traitsOf(QuantFormat::Mxfp4).group;
  const VectorType halves = kernel.lanes(kernel.i16(), chunk);
  SmallVector<int64_t> order;
  for (int64_t first = 0; first < chunk; first += 4)
    order.append({first, first + 2, first + 1, first + 3});
  const Value chunkBytes = kernel.integer(chunk * 2), rowBytes = kernel.integer(shape.depth * 2);
  kernel.loop(kernel.integer(0), height, 1, [&](Value row) {
    Value place = kernel.address(rows, kernel.pointer(), row);
    Value from = kernel.load(kernel.pointer(), place);
    Value to = kernel.addressBytes(room, kernel.mul(row, rowBytes));
    kernel.store(to, place);
    kernel.loop(kernel.integer(0), kernel.integer(shape.depth / chunk), 1, [&](Value number) {
      Value offset = kernel.mul(number, chunkBytes);
      Value columns = kernel.load(halves, kernel.addressBytes(from, offset));
      kernel.store(kernel.shuffle(columns, columns, order), kernel.addressBytes(to, offset));
    });
  });
}

void moec::callFloatProduct(CpuKernelBuilder &kernel, Type activation, const PanelShape &shape,
                            const TileOperands &tile) {
  std::string name = "product_";
  llvm::raw_string_ostream(name) << activation << '_'
                                 << traitsOf(*quantFormatOf(shape.element)).name;
  SmallVector<Value> arguments = tile.asArguments();
  arguments.push_back(kernel.integer(shape.depth));
  arguments.push_back(kernel.integer(shape.width / kLanes));
  kernel.call(name, arguments, [&](CpuKernelBuilder &inside, ValueRange given) {
    const auto operands = TileOperands::fromArguments(given);
    given = given.drop_front(TileOperands::kCount);
    FloatProduct(inside, activation, shape.element, operands, given[0], given[1]).emit();
  });
}
