// Parts of tensors, and tensors repeated, padded and turned.

#include "frontends/onnx/import/IndexReader.h"
#include "frontends/onnx/import/NodeImport.h"

using namespace mlir;
using namespace moec;
using SizeOp = SizeTable::Operation;

namespace {
/// What is taken of one dimension: `size` elements from `first` on, `step` apart.
struct Part {
  Size first, size, step;
};
} // namespace

/// A place counted from the end where it is negative.
static Size fromFront(TensorBuilder &build, const Size &place, const Size &size) {
  if (place.isKnown())
    return place.value() < 0 ? place + size : place;
  if (build.sizeTable().isNonNegative(place))
    return place;
  Size isNegative = build.compute(SizeOp::Less, {place, Size(0)});
  return build.compute(SizeOp::Choice, {isNegative, place + size, place});
}

static Size clamped(TensorBuilder &build, const Size &place, const Size &least, const Size &most) {
  return build.maxOf(build.minOf(place, most), least);
}

static Part partOf(TensorBuilder &build, const Size &start, const Size &end, const Size &step,
                   const Size &size) {
  const bool isUp = build.sizeTable().isPositive(step);
  // Ends far beyond any size, as exporters write them.
  auto place = [&](const Size &given) {
    if (given.isKnown() && given.value() > INT64_MAX / 2)
      return size;
    if (given.isKnown() && given.value() < INT64_MIN / 2)
      return isUp ? Size(0) : Size(-1);
    return fromFront(build, given, size);
  };
  if (isUp) {
    Size first = clamped(build, place(start), Size(0), size);
    Size last = clamped(build, place(end), Size(0), size);
    Size span = build.maxOf(last - first, Size(0));
    return {first, step.is(1) ? span : build.quotientUp(span, step), step};
  }
  Size first = clamped(build, place(start), Size(0), size - Size(1));
  Size last = end.isKnown() && end.value() < INT64_MIN / 2
                  ? Size(-1)
                  : clamped(build, place(end), Size(-1), size - Size(1));
  Size span = build.maxOf(first - last, Size(0));
  return {first, build.quotientUp(span, Size(0) - step), step};
}

static void importSlice(NodeImport &node) {
  const GraphValue value = node.input(0);
  TensorBuilder &build = node.build();
  std::optional<SmallVector<Size, 1>> starts = node.numbers(1, "the starts"),
                                      ends = node.numbers(2, "the ends"), steps;
  std::optional<std::vector<int64_t>> axes;
  if (node.has(3))
    axes = node.knownNumbers(3, "the axes");
  if (node.has(4))
    steps = node.numbers(4, "the steps");
  if (node.failed())
    return;
  if (!axes) {
    axes.emplace();
    for (size_t dim = 0; dim < starts->size(); ++dim)
      axes->push_back(static_cast<int64_t>(dim));
  }
  if (!steps)
    steps.emplace(starts->size(), Size(1));
  if (starts->size() != axes->size() || ends->size() != axes->size() ||
      steps->size() != axes->size())
    return node.malformed("has {} starts, {} ends, {} axes and {} steps", starts->size(),
                          ends->size(), axes->size(), steps->size());
  node.dims(*axes, value.rank());
  if (node.failed())
    return;
  SmallVector<Part> parts;
  for (const Size &size : value.shape)
    parts.push_back({Size(0), size, Size(1)});
  bool isUp = true;
  for (auto [entry, axis] : llvm::enumerate(*axes)) {
    const int64_t dim = node.dim(axis, value.rank());
    const Size &step = (*steps)[entry];
    if (step.is(0))
      return node.malformed("a step is 0");
    if (!step.isKnown())
      return node.unsupported("a step must be known when the model is compiled");
    isUp &= step.value() > 0;
    parts[dim] = partOf(build, (*starts)[entry], (*ends)[entry], step, value.shape[dim]);
  }
  if (value.elements && value.rank() == 1 && parts[0].first.isKnown() && parts[0].size.isKnown()) {
    SmallVector<Size, 1> elements;
    for (int64_t place = 0; place < parts[0].size.value(); ++place)
      elements.push_back((*value.elements)[parts[0].first.value() + place * parts[0].step.value()]);
    return node.result(build.ofElements(value.element, std::move(elements), false));
  }
  Sizes offsets, shape;
  SmallVector<int64_t> strides;
  for (const Part &part : parts) {
    offsets.push_back(part.first);
    shape.push_back(part.size);
    strides.push_back(part.step.value());
  }
  if (isUp) {
    if (shape == value.shape)
      return node.result(value);
    return node.result(build.slice(value, offsets, shape, strides));
  }
  Value tensor = build.tensorOf(value);
  SmallVector<Value> first;
  for (const Size &offset : offsets)
    first.push_back(build.indexOf(offset));
  GraphValue result =
      build.build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        SmallVector<Value> from;
        for (auto [dim, index] : llvm::enumerate(place))
          from.push_back(make.add(first[dim], make.mul(index, make.index(strides[dim]))));
        return TensorBuilder::extract(make, tensor, from);
      });
  result.below = value.below;
  node.result(std::move(result));
}

static void importTile(NodeImport &node) {
  const GraphValue value = node.input(0);
  std::optional<SmallVector<Size, 1>> repeats = node.numbers(1, "the repeats");
  if (!repeats)
    return;
  if (static_cast<int64_t>(repeats->size()) != value.rank())
    return node.malformed("has {} repeats for {}", repeats->size(), shapeText(value.shape));
  TensorBuilder &build = node.build();
  if (llvm::all_of(*repeats, [](const Size &size) { return size.is(1); }))
    return node.result(value);
  // Each repeated dimension becomes two, the first of which is broadcast.
  Sizes split, wide, joined;
  for (auto [size, repeat] : llvm::zip_equal(value.shape, *repeats)) {
    if (!repeat.is(1)) {
      split.push_back(Size(1));
      wide.push_back(repeat);
    }
    split.push_back(size);
    wide.push_back(size);
    joined.push_back(size * repeat);
  }
  node.result(build.reshape(build.broadcast(build.reshape(value, split), wide), joined));
}

namespace {
enum class Padding { Constant, Reflect, Edge, Wrap };
} // namespace

static std::optional<Padding> paddingOf(NodeImport &node) {
  const std::string mode = node.text("mode", "constant");
  for (auto [name, padding] :
       {std::pair("constant", Padding::Constant), std::pair("reflect", Padding::Reflect),
        std::pair("edge", Padding::Edge), std::pair("wrap", Padding::Wrap)})
    if (mode == name)
      return padding;
  node.malformed("`mode` is '{}', wanted constant, reflect, edge or wrap", shownName(mode));
  return std::nullopt;
}

static void importPad(NodeImport &node) {
  const GraphValue value = node.input(0);
  TensorBuilder &build = node.build();
  std::optional<SmallVector<Size, 1>> pads = node.numbers(1, "the pads");
  std::optional<Padding> padding = paddingOf(node);
  std::optional<std::vector<int64_t>> axes;
  if (node.has(3))
    axes = node.knownNumbers(3, "the axes");
  if (node.failed())
    return;
  if (!axes) {
    axes.emplace();
    for (int64_t dim = 0; dim < value.rank(); ++dim)
      axes->push_back(dim);
  }
  if (pads->size() != 2 * axes->size())
    return node.malformed("has {} pads for {} axes", pads->size(), axes->size());
  node.dims(*axes, value.rank());
  if (node.failed())
    return;
  Sizes before(value.shape.size(), Size(0)), shape = value.shape;
  for (auto [entry, axis] : llvm::enumerate(*axes)) {
    const int64_t dim = node.dim(axis, value.rank());
    before[dim] = (*pads)[entry];
    shape[dim] = shape[dim] + (*pads)[entry] + (*pads)[axes->size() + entry];
  }
  Value filler;
  Type stored = build.typeOf(value.element);
  if (node.has(2)) {
    GraphValue given = node.input(2);
    if (given.element != value.element)
      return node.malformed("fills {} with {}", elementTypeName(value.element),
                            elementTypeName(given.element));
    if (!productOf(given.shape).is(1))
      return node.malformed("its value is {}, wanted a scalar", shapeText(given.shape));
    filler = build.tensorOf(build.reshape(given, {}));
  }
  Value tensor = build.tensorOf(value);
  SmallVector<Value> first, sizes;
  for (auto [size, pad] : llvm::zip_equal(value.shape, before)) {
    first.push_back(build.indexOf(pad));
    sizes.push_back(build.indexOf(size));
  }
  Value one = build.indexOf(Size(1)), zero = build.indexOf(Size(0));
  const bool mayBeEmpty = !build.sizeTable().isPositive(productOf(value.shape));
  node.result(build.build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
    SmallVector<Value> from;
    Value isInside;
    for (auto [dim, index] : llvm::enumerate(place)) {
      if (shape[dim] == value.shape[dim] && before[dim].is(0)) {
        from.push_back(index);
        continue;
      }
      Value at = make.sub(index, first[dim]), size = sizes[dim];
      Value last = make.sub(size, one);
      if (padding == Padding::Constant) {
        Value inside = make.both(make.lessOrEqual(zero, at), make.less(at, size));
        isInside = isInside ? make.both(isInside, inside) : inside;
      } else if (padding == Padding::Wrap) {
        Value rest = make.make<arith::RemSIOp>(at, make.max(size, one));
        at = make.select(make.less(rest, zero), make.add(rest, size), rest);
      } else if (padding == Padding::Reflect) {
        // Back and forth: a period is twice as long, without both ends.
        Value period = make.max(make.mul(last, make.index(2)), one);
        Value rest = make.make<arith::RemSIOp>(at, period);
        rest = make.select(make.less(rest, zero), make.add(rest, period), rest);
        at = make.min(rest, make.sub(period, rest));
      }
      from.push_back(make.max(make.min(at, last), zero));
    }
    if (!isInside)
      return TensorBuilder::extract(make, tensor, from);
    Value fill = filler ? TensorBuilder::extract(make, filler, {}) : make.number(stored, 0);
    return readInside(make, isInside, tensor, from, fill, mayBeEmpty);
  }));
}

/// The b of blocks of b x b, and whether the blocks are the outer part of channels.
static std::pair<int64_t, bool> blocksOf(NodeImport &node) {
  const int64_t block = node.integer("blocksize", 0);
  const std::string mode = node.text("mode", "DCR");
  if (block < 1 || (mode != "DCR" && mode != "CRD"))
    node.malformed("`blocksize` is {} and `mode` '{}'", block, shownName(mode));
  return {block, mode == "DCR"};
}

/// Depth and space: blocks of b x b become channels, or the other way.
static void importDepthToSpace(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireRank(value, 4, 4, "its input");
  const auto [block, isDcr] = blocksOf(node);
  if (node.failed())
    return;
  const Size b(block);
  std::optional<Size> depth = value.shape[1].dividedBy(b * b);
  if (!depth)
    return node.malformed("makes blocks of {} x {} of {} channels", block, block,
                          shapeText(value.shape[1]));
  TensorBuilder &build = node.build();
  const Size n = value.shape[0], h = value.shape[2], w = value.shape[3];
  GraphValue parts = isDcr ? build.reshape(value, {n, b, b, *depth, h, w})
                           : build.reshape(value, {n, *depth, b, b, h, w});
  GraphValue turned = isDcr ? build.transpose(parts, {0, 3, 4, 1, 5, 2})
                            : build.transpose(parts, {0, 1, 4, 2, 5, 3});
  node.result(build.reshape(turned, {n, *depth, h * b, w * b}));
}

static void importSpaceToDepth(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireRank(value, 4, 4, "its input");
  const auto [block, isDcr] = blocksOf(node);
  if (node.failed())
    return;
  const Size b(block);
  std::optional<Size> h = value.shape[2].dividedBy(b), w = value.shape[3].dividedBy(b);
  if (!h || !w)
    return node.unsupported("makes blocks of {} x {} of {}", block, block, shapeText(value.shape));
  TensorBuilder &build = node.build();
  const Size n = value.shape[0], c = value.shape[1];
  GraphValue parts = build.reshape(value, {n, c, *h, b, *w, b});
  GraphValue turned = isDcr ? build.transpose(parts, {0, 3, 5, 1, 2, 4})
                            : build.transpose(parts, {0, 1, 3, 5, 2, 4});
  node.result(build.reshape(turned, {n, c * b * b, *h, *w}));
}

static void importReverseSequence(NodeImport &node) {
  const GraphValue value = node.input(0), lengths = node.input(1);
  const int64_t time = node.integer("time_axis", 0), batch = node.integer("batch_axis", 1);
  if (value.rank() < 2 || time < 0 || batch < 0 || time > 1 || batch > 1 || time == batch)
    return node.malformed("`time_axis` is {} and `batch_axis` {}, wanted 0 and 1 in either order",
                          time, batch);
  node.requireRank(lengths, 1, 1, "its lengths");
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  Value tensor = build.tensorOf(value), lengthOf = build.tensorOf(lengths),
        all = build.indexOf(value.shape[time]);
  node.result(
      build.build(value.element, value.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        Value length = make.toIndex(TensorBuilder::extract(make, lengthOf, place[batch]));
        length = make.min(length, all);
        Value turned = make.sub(make.sub(length, make.index(1)), place[time]);
        SmallVector<Value> from(place);
        from[time] = make.select(make.less(place[time], length), turned, place[time]);
        return TensorBuilder::extract(make, tensor, from);
      }));
}

llvm::ArrayRef<OpRule> moec::placeOps() {
  static const OpRule rules[] = {
      {"", "Slice", {{11, "", 3, 5}}, importSlice},
      {"", "Tile", {{6, "", 2, 2}}, importTile},
      {"", "Pad", {{11, "mode:s", 2, 3}, {18, "mode:s", 2, 4}}, importPad},
      {"", "DepthToSpace", {{11, "blocksize:i mode:s", 1, 1}}, importDepthToSpace},
      {"",
       "SpaceToDepth",
       {{1, "blocksize:i", 1, 1}, {28, "blocksize:i mode:s", 1, 1}},
       importSpaceToDepth},
      {"", "ReverseSequence", {{10, "batch_axis:i time_axis:i", 2, 2}}, importReverseSequence},
  };
  return rules;
}
