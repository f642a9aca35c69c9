// Elements at places that other tensors hold.

#include "frontends/onnx/import/IndexReader.h"
#include "frontends/onnx/import/NodeImport.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;

Value moec::readInside(ElementBuilder &make, Value isInside, Value tensor, ArrayRef<Value> from,
                       Value fill, bool mayBeEmpty) {
  if (!mayBeEmpty)
    return make.select(isInside, TensorBuilder::extract(make, tensor, from), fill);
  auto choice = scf::IfOp::create(make.ops(), make.where(), fill.getType(), isInside,
                                  /*withElseRegion=*/true);
  OpBuilder yes = choice.getThenBodyBuilder(), no = choice.getElseBodyBuilder();
  scf::YieldOp::create(yes, make.where(),
                       Value(tensor::ExtractOp::create(yes, make.where(), tensor, from)));
  scf::YieldOp::create(no, make.where(), fill);
  return choice.getResult(0);
}

GraphValue moec::gatherRows(TensorBuilder &build, const GraphValue &table,
                            const GraphValue &indices) {
  Sizes shape = indices.shape;
  shape.append(table.shape.begin() + 1, table.shape.end());
  Value tensor = build.tensorOf(table);
  IndexReader reader(build, indices, table.shape[0]);
  return build.build(table.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
    SmallVector<Value> from{reader.at(make, place.take_front(indices.rank()))};
    llvm::append_range(from, place.drop_front(indices.rank()));
    return TensorBuilder::extract(make, tensor, from);
  });
}

static bool areIndices(NodeImport &node, const GraphValue &indices) {
  if (isInteger(indices.element))
    return true;
  node.malformed("its indices are of {}, wanted integers", elementTypeName(indices.element));
  return false;
}

/// Gather of constants that are indices or indices that are known.
static std::optional<GraphValue> gatherKnown(NodeImport &node) {
  const GraphValue &value = node.input(0), &indices = node.input(1);
  if (!value.elements || value.rank() != 1 || !indices.isKnown())
    return std::nullopt;
  SmallVector<Size, 1> results;
  const auto count = static_cast<int64_t>(value.elements->size());
  for (const Size &index : *indices.elements) {
    const int64_t place = index.value() < 0 ? index.value() + count : index.value();
    if (place < 0 || place >= count) {
      node.malformed("reads element {} of {}", index.value(), count);
      return std::nullopt;
    }
    results.push_back((*value.elements)[place]);
  }
  return node.build().ofElements(value.element, std::move(results), indices.rank() == 0);
}

static void importGather(NodeImport &node) {
  const GraphValue value = node.input(0), indices = node.input(1);
  const int64_t dim = node.dim(node.integer("axis", 0), value.rank());
  if (node.failed() || !areIndices(node, indices))
    return;
  if (std::optional<GraphValue> known = gatherKnown(node))
    return node.result(std::move(*known));
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  // One known place is a slice.
  if (indices.isKnown() && indices.elements->size() == 1) {
    Size place = indices.elements->front();
    if (place.value() < 0)
      place = place + value.shape[dim];
    if (value.shape[dim].isKnown() &&
        (place.value() < 0 || place.value() >= value.shape[dim].value()))
      return node.malformed("reads element {} of {}", indices.elements->front().value(),
                            value.shape[dim].value());
    GraphValue part = build.slice(value, dim, place, Size(1));
    return node.result(indices.rank() == 0 ? build.squeeze(part, dim) : part);
  }
  Sizes shape(ArrayRef<Size>(value.shape).take_front(dim));
  shape.append(indices.shape);
  shape.append(value.shape.begin() + dim + 1, value.shape.end());
  Value tensor = build.tensorOf(value);
  IndexReader reader(build, indices, value.shape[dim]);
  const int64_t rank = indices.rank();
  GraphValue result =
      build.build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        SmallVector<Value> from(place.take_front(dim));
        from.push_back(reader.at(make, place.slice(dim, rank)));
        llvm::append_range(from, place.drop_front(dim + rank));
        return TensorBuilder::extract(make, tensor, from);
      });
  result.below = value.below;
  node.result(std::move(result));
}

static void importGatherElements(NodeImport &node) {
  const GraphValue value = node.input(0), indices = node.input(1);
  const int64_t dim = node.dim(node.integer("axis", 0), value.rank());
  if (indices.rank() != value.rank())
    node.malformed("its indices are {}, of another rank than {}", shapeText(indices.shape),
                   shapeText(value.shape));
  if (node.failed() || !areIndices(node, indices))
    return;
  TensorBuilder &build = node.build();
  Value tensor = build.tensorOf(value);
  IndexReader reader(build, indices, value.shape[dim]);
  GraphValue result =
      build.build(value.element, indices.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        SmallVector<Value> from(place);
        from[dim] = reader.at(make, place);
        return TensorBuilder::extract(make, tensor, from);
      });
  result.below = value.below;
  node.result(std::move(result));
}

static void importGatherNd(NodeImport &node) {
  const GraphValue value = node.input(0), indices = node.input(1);
  const int64_t batch = node.integer("batch_dims", 0);
  if (indices.rank() < 1 || batch < 0 || batch >= indices.rank() || batch >= value.rank())
    node.malformed("reads {} at {} with {} batch dimensions", shapeText(value.shape),
                   shapeText(indices.shape), batch);
  if (node.failed() || !areIndices(node, indices))
    return;
  if (!indices.shape.back().isKnown())
    return node.unsupported("its indices are {}, and how many make a place is not known",
                            shapeText(indices.shape));
  const int64_t count = indices.shape.back().value();
  if (count < 1 || batch + count > value.rank())
    return node.malformed("has places of {} indices for {}", count, shapeText(value.shape));
  TensorBuilder &build = node.build();
  Sizes shape(ArrayRef<Size>(indices.shape).drop_back());
  const auto lead = static_cast<int64_t>(shape.size());
  shape.append(value.shape.begin() + batch + count, value.shape.end());
  Value tensor = build.tensorOf(value);
  SmallVector<IndexReader> readers;
  for (int64_t entry = 0; entry < count; ++entry)
    readers.emplace_back(build, indices, value.shape[batch + entry]);
  GraphValue result =
      build.build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        SmallVector<Value> from(place.take_front(batch));
        SmallVector<Value> at(place.take_front(lead));
        at.push_back({});
        for (auto [entry, reader] : llvm::enumerate(readers)) {
          at.back() = make.index(static_cast<int64_t>(entry));
          from.push_back(reader.at(make, at));
        }
        llvm::append_range(from, place.drop_front(lead));
        return TensorBuilder::extract(make, tensor, from);
      });
  result.below = value.below;
  node.result(std::move(result));
}

llvm::ArrayRef<OpRule> moec::gatherOps() {
  static const OpRule rules[] = {
      {"", "Gather", {{11, "axis:i", 2, 2}}, importGather},
      {"", "GatherElements", {{11, "axis:i", 2, 2}}, importGatherElements},
      {"", "GatherND", {{11, "", 2, 2}, {12, "batch_dims:i", 2, 2}}, importGatherNd},
  };
  return rules;
}
