// Convolution, along any number of dimensions.

#include "frontends/onnx/import/IndexReader.h"
#include "frontends/onnx/import/NodeImport.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace moec;

namespace {
struct Window {
  SmallVector<int64_t> kernel, strides, dilations, before, after;
};
} // namespace

/// Zeros around the spatial dimensions.
static GraphValue padded(TensorBuilder &build, const GraphValue &value, const Window &window) {
  Sizes shape = value.shape;
  bool isPadded = false;
  for (auto [dim, pads] : llvm::enumerate(llvm::zip_equal(window.before, window.after))) {
    auto [before, after] = pads;
    shape[2 + dim] = shape[2 + dim] + Size(before + after);
    isPadded |= before != 0 || after != 0;
  }
  if (!isPadded)
    return value;
  Value tensor = build.tensorOf(value);
  SmallVector<Value> sizes;
  for (const Size &size : value.shape)
    sizes.push_back(build.indexOf(size));
  Type stored = build.typeOf(value.element);
  const bool mayBeEmpty = !build.sizeTable().isPositive(productOf(value.shape));
  return build.build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
    SmallVector<Value> from(place.take_front(2));
    Value isInside, zero = make.index(0), one = make.index(1);
    for (auto [dim, before] : llvm::enumerate(window.before)) {
      Value at = make.sub(place[2 + dim], make.index(before)), size = sizes[2 + dim];
      Value inside = make.both(make.lessOrEqual(zero, at), make.less(at, size));
      isInside = isInside ? make.both(isInside, inside) : inside;
      from.push_back(make.max(make.min(at, make.sub(size, one)), zero));
    }
    return readInside(make, isInside, tensor, from, make.number(stored, 0), mayBeEmpty);
  });
}

static std::optional<Window> windowOf(NodeImport &node, const GraphValue &value,
                                      const GraphValue &weight) {
  const int64_t spatial = value.rank() - 2;
  Window window;
  auto list = [&](const char *name, int64_t otherwise, int64_t count) {
    SmallVector<int64_t> result(count, otherwise);
    if (std::optional<std::vector<int64_t>> given = node.integers(name)) {
      if (static_cast<int64_t>(given->size()) != count)
        node.malformed("`{}` has {} entries, wanted {}", name, given->size(), count);
      else
        result.assign(given->begin(), given->end());
    }
    return result;
  };
  for (int64_t dim = 0; dim < spatial; ++dim) {
    if (!weight.shape[2 + dim].isKnown()) {
      node.unsupported("the size of its kernel is not known");
      return std::nullopt;
    }
    window.kernel.push_back(weight.shape[2 + dim].value());
  }
  window.strides = list("strides", 1, spatial);
  window.dilations = list("dilations", 1, spatial);
  SmallVector<int64_t> pads = list("pads", 0, 2 * spatial);
  if (node.failed())
    return std::nullopt;
  const std::string automatic = node.text("auto_pad", "NOTSET");
  for (int64_t dim = 0; dim < spatial; ++dim) {
    if (window.strides[dim] < 1 || window.dilations[dim] < 1 || window.kernel[dim] < 1 ||
        pads[dim] < 0 || pads[spatial + dim] < 0) {
      node.malformed("its strides, dilations and kernel must be positive, its pads not negative");
      return std::nullopt;
    }
    int64_t before = pads[dim], after = pads[spatial + dim];
    if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      if (!value.shape[2 + dim].isKnown()) {
        node.unsupported("pads by a size that is not known");
        return std::nullopt;
      }
      const int64_t size = value.shape[2 + dim].value(), stride = window.strides[dim];
      const int64_t wanted = ((size + stride - 1) / stride - 1) * stride +
                             (window.kernel[dim] - 1) * window.dilations[dim] + 1;
      const int64_t both = std::max<int64_t>(wanted - size, 0);
      before = automatic == "SAME_UPPER" ? both / 2 : both - both / 2;
      after = both - before;
    } else if (automatic == "VALID") {
      before = after = 0;
    } else if (automatic != "NOTSET") {
      node.malformed("`auto_pad` is '{}'", shownName(automatic));
      return std::nullopt;
    }
    window.before.push_back(before);
    window.after.push_back(after);
  }
  return window;
}

static void importConv(NodeImport &node) {
  GraphValue value = node.input(0), weight = node.input(1);
  node.requireSameElement(node.inputs());
  node.requireFloat(value, "its input");
  if (value.rank() < 3 || weight.rank() != value.rank())
    node.malformed("its input is {} and its weight {}", shapeText(value.shape),
                   shapeText(weight.shape));
  const int64_t groups = node.integer("group", 1);
  std::optional<Window> window = node.failed() ? std::nullopt : windowOf(node, value, weight);
  if (!window)
    return;
  std::optional<Size> channels =
      groups > 0 ? weight.shape[0].dividedBy(Size(groups)) : std::optional<Size>();
  if (!channels)
    return node.malformed("makes {} channels in {} groups", shapeText(weight.shape[0]), groups);
  node.requireEqual(value.shape[1], weight.shape[1] * Size(groups), "channels, there and wanted");
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  OpBuilder &builder = build.ops();
  const int64_t spatial = value.rank() - 2;
  value = padded(build, value, *window);
  // batch, group, channel of the group, places | channel that is read, places of the kernel
  Sizes shape{value.shape[0], Size(groups), *channels};
  for (int64_t dim = 0; dim < spatial; ++dim) {
    const Size room =
        value.shape[2 + dim] - Size((window->kernel[dim] - 1) * window->dilations[dim] + 1);
    if (room.isKnown() && room.value() < 0)
      return node.malformed("its kernel is larger than its input, {}", shapeText(value.shape));
    shape.push_back(
        build.compute(SizeTable::Operation::Quotient, {room, Size(window->strides[dim])}) +
        Size(1));
  }
  Sizes grouped{value.shape[0], Size(groups), weight.shape[1]};
  grouped.append(value.shape.begin() + 2, value.shape.end());
  Sizes kernels{Size(groups), *channels, weight.shape[1]};
  kernels.append(weight.shape.begin() + 2, weight.shape.end());
  const auto loops = static_cast<unsigned>(3 + spatial + 1 + spatial);
  auto loop = [&](int64_t number) { return builder.getAffineDimExpr(number); };
  SmallVector<AffineExpr> from{loop(0), loop(1), loop(3 + spatial)},
      weights{loop(1), loop(2), loop(3 + spatial)}, to{loop(0), loop(1), loop(2)};
  for (int64_t dim = 0; dim < spatial; ++dim) {
    AffineExpr place = loop(3 + dim), tap = loop(4 + spatial + dim);
    from.push_back(place * window->strides[dim] + tap * window->dilations[dim]);
    weights.push_back(tap);
    to.push_back(place);
  }
  SmallVector<utils::IteratorType> iterators(loops, utils::IteratorType::reduction);
  std::fill_n(iterators.begin(), 3 + spatial, utils::IteratorType::parallel);
  MLIRContext *context = builder.getContext();
  AffineMap maps[] = {AffineMap::get(loops, 0, from, context),
                      AffineMap::get(loops, 0, weights, context),
                      AffineMap::get(loops, 0, to, context)};
  const ElementType element =
      value.element == ElementType::Double ? ElementType::Double : ElementType::Float;
  Value out = build.tensorOf(build.filled(element, shape, 0));
  Type summed = build.typeOf(element);
  auto sum = linalg::GenericOp::create(
      builder, build.where(), out.getType(),
      ValueRange{build.tensorOf(build.reshape(value, grouped)),
                 build.tensorOf(build.reshape(weight, kernels))},
      out, maps, iterators, [&](OpBuilder &inside, Location where, ValueRange x) {
        ElementBuilder make(inside, where);
        Value product =
            make.mul(make.convert(x[0], summed, false), make.convert(x[1], summed, false));
        linalg::YieldOp::create(inside, where, make.add(x[2], product));
      });
  Sizes result{value.shape[0], weight.shape[0]};
  result.append(shape.begin() + 3, shape.end());
  GraphValue made = build.reshape(build.ofTensor(sum.getResult(0), element, shape), result);
  if (node.has(2)) {
    node.requireRank(node.input(2), 1, 1, "its bias");
    if (node.failed())
      return;
    node.requireEqual(node.input(2).shape[0], weight.shape[0],
                      "elements of its bias, there and wanted");
    Sizes column(spatial + 1, Size(1));
    column.front() = weight.shape[0];
    made = build.add(made, build.reshape(build.convert(node.input(2), element), column));
  }
  node.result(build.convert(made, node.input(0).element));
}

llvm::ArrayRef<OpRule> moec::convolutionOps() {
  static const OpRule rules[] = {
      {"",
       "Conv",
       {{11, "auto_pad:s dilations:is group:i kernel_shape:is pads:is strides:is", 2, 3}},
       importConv},
  };
  return rules;
}
