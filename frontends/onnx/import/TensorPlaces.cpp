// Elements at other places: reshaped, transposed, sliced, joined.

#include "frontends/onnx/import/TensorBuilder.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;

namespace {
/// Dimensions of two shapes that hold the same elements.
struct DimGroup {
  SmallVector<int64_t> from, to;
};
} // namespace

/// The finest groups that are proved to be of one product each; one group where none are.
static SmallVector<DimGroup> groupDims(ArrayRef<Size> from, ArrayRef<Size> to) {
  SmallVector<DimGroup> groups;
  size_t i = 0, j = 0;
  while (i < from.size() && j < to.size()) {
    DimGroup group;
    Size before = from[i], after = to[j];
    group.from.push_back(i++);
    group.to.push_back(j++);
    while (before != after) {
      const bool growsBefore = [&] {
        if (before.isKnown() && after.isKnown())
          return before.value() < after.value();
        return after.dividedBy(before).has_value();
      }();
      if (growsBefore && i < from.size() && !from[i].is(0)) {
        before = before * from[i];
        group.from.push_back(i++);
      } else if (!growsBefore && j < to.size() && !to[j].is(0)) {
        after = after * to[j];
        group.to.push_back(j++);
      } else {
        DimGroup all;
        for (size_t dim = 0; dim < from.size(); ++dim)
          all.from.push_back(dim);
        for (size_t dim = 0; dim < to.size(); ++dim)
          all.to.push_back(dim);
        return {all};
      }
    }
    groups.push_back(std::move(group));
  }
  // What is left is of size 1.
  if (groups.empty())
    return {DimGroup{llvm::to_vector(llvm::seq<int64_t>(0, from.size())),
                     llvm::to_vector(llvm::seq<int64_t>(0, to.size()))}};
  for (; i < from.size(); ++i)
    groups.back().from.push_back(i);
  for (; j < to.size(); ++j)
    groups.back().to.push_back(j);
  return groups;
}

/// From or to rank 0, where all sizes are 1, known or not.
GraphValue TensorBuilder::reshapeScalar(const GraphValue &value, ArrayRef<Size> shape) {
  RankedTensorType ones =
      typeOf(value.element, Sizes(std::max(shape.size(), value.shape.size()), Size(1)));
  Value tensor = tensorOf(value);
  RankedTensorType type = typeOf(value.element, shape);
  if (shape.empty()) {
    if (tensor.getType() != ones)
      tensor = tensor::CastOp::create(builder, location, ones, tensor);
    tensor = tensor::CollapseShapeOp::create(builder, location, type, tensor,
                                             ArrayRef<ReassociationIndices>());
  } else {
    tensor = tensor::ExpandShapeOp::create(builder, location, ones, tensor,
                                           ArrayRef<ReassociationIndices>());
    if (type != ones)
      tensor = tensor::CastOp::create(builder, location, type, tensor);
  }
  GraphValue result = ofTensor(tensor, value.element, Sizes(shape));
  result.below = value.below;
  return result;
}

GraphValue TensorBuilder::reshape(const GraphValue &value, ArrayRef<Size> shape) {
  if (ArrayRef<Size>(value.shape) == shape)
    return value;
  if (value.elements && shape.size() <= 1) {
    GraphValue result = value;
    result.shape = Sizes(shape);
    result.constant = nullptr;
    result.tensor = {};
    return result;
  }
  if (value.shape.empty() || shape.empty())
    return reshapeScalar(value, shape);
  SmallVector<DimGroup> groups = groupDims(value.shape, shape);
  Sizes middle;
  SmallVector<ReassociationIndices> down, up;
  for (const DimGroup &group : groups) {
    Size size(1);
    for (int64_t dim : group.from)
      size = size * value.shape[dim];
    middle.push_back(size);
    down.push_back(ReassociationIndices(group.from.begin(), group.from.end()));
    up.push_back(ReassociationIndices(group.to.begin(), group.to.end()));
  }
  Value tensor = tensorOf(value);
  if (middle.size() != value.shape.size())
    tensor = tensor::CollapseShapeOp::create(builder, location, typeOf(value.element, middle),
                                             tensor, down);
  RankedTensorType type = typeOf(value.element, shape);
  if (middle.size() != shape.size()) {
    // Where a group is not proved, its size need not be written like the product of the new ones.
    Sizes wanted;
    for (const ReassociationIndices &group : up) {
      Size size(1);
      for (int64_t dim : group)
        size = size * shape[dim];
      wanted.push_back(size);
    }
    RankedTensorType cast = typeOf(value.element, wanted);
    if (cast != tensor.getType())
      tensor = tensor::CastOp::create(builder, location, cast, tensor);
    SmallVector<OpFoldResult> sizes;
    for (const Size &size : shape)
      sizes.push_back(size.isKnown() ? OpFoldResult(builder.getIndexAttr(size.value()))
                                     : OpFoldResult(indexOf(size)));
    tensor = tensor::ExpandShapeOp::create(builder, location, type, tensor, up, sizes);
  } else if (tensor.getType() != type) {
    tensor = tensor::CastOp::create(builder, location, type, tensor);
  }
  GraphValue result = ofTensor(tensor, value.element, Sizes(shape));
  result.below = value.below;
  return result;
}

GraphValue TensorBuilder::transpose(const GraphValue &value, Dims order) {
  if (llvm::is_sorted(order))
    return value;
  Sizes shape;
  for (int64_t dim : order)
    shape.push_back(value.shape[dim]);
  Value out = empty(value.element, shape);
  GraphValue result = ofTensor(
      linalg::TransposeOp::create(builder, location, tensorOf(value), out, order)->getResult(0),
      value.element, std::move(shape));
  result.below = value.below;
  return result;
}

GraphValue TensorBuilder::broadcast(const GraphValue &value, ArrayRef<Size> shape) {
  if (ArrayRef<Size>(value.shape) == shape)
    return value;
  const auto rank = static_cast<unsigned>(shape.size());
  const unsigned first = rank - value.rank();
  bool isUncertain = false;
  SmallVector<AffineExpr> places;
  for (auto [dim, size] : llvm::enumerate(value.shape)) {
    const Size &wanted = shape[first + dim];
    isUncertain |= size != wanted && !size.is(1);
    places.push_back(size == wanted ? builder.getAffineDimExpr(first + dim)
                                    : builder.getAffineConstantExpr(0));
  }
  GraphValue result;
  if (isUncertain) {
    // Whether a size is 1 shows when it is there.
    Value tensor = tensorOf(value);
    SmallVector<Value> have;
    for (auto [dim, size] : llvm::enumerate(value.shape)) {
      have.push_back(indexOf(size));
      if (size == shape[first + dim] || size.is(1))
        continue;
      Value one = indexOf(Size(1));
      Value suits = arith::OrIOp::create(
          builder, location,
          arith::CmpIOp::create(builder, location, arith::CmpIPredicate::eq, have.back(), one),
          arith::CmpIOp::create(builder, location, arith::CmpIPredicate::eq, have.back(),
                                indexOf(shape[first + dim])));
      require(suits, "the sizes of tensors do not suit each other");
    }
    result = build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
      SmallVector<Value> from;
      Value one = make.index(1), zero = make.index(0);
      for (auto [dim, size] : llvm::enumerate(value.shape))
        from.push_back(size.is(1) ? zero
                       : size == shape[first + dim]
                           ? place[first + dim]
                           : make.select(make.equal(have[dim], one), zero, place[first + dim]));
      return extract(make, tensor, from);
    });
  } else {
    Value out = empty(value.element, shape);
    AffineMap maps[] = {AffineMap::get(rank, 0, places, builder.getContext()),
                        AffineMap::getMultiDimIdentityMap(rank, builder.getContext())};
    SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
    result = ofTensor(linalg::GenericOp::create(
                          builder, location, out.getType(), tensorOf(value), out, maps, iterators,
                          [](OpBuilder &inside, Location where, ValueRange arguments) {
                            linalg::YieldOp::create(inside, where, arguments[0]);
                          })
                          .getResult(0),
                      value.element, Sizes(shape));
  }
  result.below = value.below;
  return result;
}

GraphValue TensorBuilder::slice(const GraphValue &value, ArrayRef<Size> offsets,
                                ArrayRef<Size> shape, Dims steps) {
  // Of nothing there is no place to begin at.
  if (llvm::any_of(shape, [](const Size &size) { return size.is(0); }))
    return ofTensor(empty(value.element, shape), value.element, Sizes(shape));
  auto folded = [&](const Size &size) -> OpFoldResult {
    if (size.isKnown())
      return builder.getIndexAttr(size.value());
    return indexOf(size);
  };
  SmallVector<OpFoldResult> from = llvm::map_to_vector(offsets, folded),
                            sizes = llvm::map_to_vector(shape, folded), strides;
  for (size_t dim = 0; dim < shape.size(); ++dim)
    strides.push_back(builder.getIndexAttr(steps.empty() ? 1 : steps[dim]));
  Value tensor = tensorOf(value);
  GraphValue result =
      ofTensor(tensor::ExtractSliceOp::create(builder, location, typeOf(value.element, shape),
                                              tensor, from, sizes, strides),
               value.element, Sizes(shape));
  result.below = value.below;
  return result;
}

GraphValue TensorBuilder::slice(const GraphValue &value, int64_t dim, const Size &offset,
                                const Size &size) {
  Sizes offsets(value.shape.size(), Size(0)), shape = value.shape;
  offsets[dim] = offset;
  shape[dim] = size;
  if (offset.is(0) && size == value.shape[dim])
    return value;
  return slice(value, offsets, shape);
}

GraphValue TensorBuilder::concat(Values values, int64_t dim) {
  if (values.size() == 1)
    return values.front();
  Sizes shape = values.front().shape;
  shape[dim] = Size(0);
  SmallVector<Value> tensors;
  bool haveBound = true;
  std::optional<Size> below = values.front().below;
  for (const GraphValue &value : values) {
    shape[dim] = shape[dim] + value.shape[dim];
    tensors.push_back(tensorOf(value));
    haveBound &= value.below && *value.below == *below;
  }
  GraphValue result =
      ofTensor(tensor::ConcatOp::create(builder, location, typeOf(values.front().element, shape),
                                        dim, tensors),
               values.front().element, std::move(shape));
  if (haveBound)
    result.below = below;
  return result;
}

GraphValue TensorBuilder::unsqueeze(const GraphValue &value, Dims dims) {
  Sizes shape = value.shape;
  for (int64_t dim : dims)
    shape.insert(shape.begin() + dim, Size(1));
  return reshape(value, shape);
}

GraphValue TensorBuilder::squeeze(const GraphValue &value, Dims dims) {
  Sizes shape;
  for (auto [dim, size] : llvm::enumerate(value.shape))
    if (!llvm::is_contained(dims, static_cast<int64_t>(dim)))
      shape.push_back(size);
  return reshape(value, shape);
}

GraphValue TensorBuilder::iota(ElementType element, const Size &size) {
  Type type = typeOf(element);
  GraphValue result = build(element, size, [&](ElementBuilder &make, ArrayRef<Value> place) {
    return make.fromIndex(place[0], type);
  });
  result.below = size;
  return result;
}
