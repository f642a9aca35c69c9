// Rotary embedding, ONNX's own and the contributed one.

#include "frontends/onnx/import/IndexReader.h"
#include "frontends/onnx/import/Rotary.h"

using namespace mlir;
using namespace moec;

GraphValue moec::rotate(TensorBuilder &build, const GraphValue &value, const GraphValue &cosines,
                        const GraphValue &sines, int64_t rotated, bool isInterleaved) {
  const int64_t last = value.rank() - 1, half = rotated / 2;
  const GraphValue turned = build.slice(value, last, Size(0), Size(rotated));
  GraphValue first, second;
  if (isInterleaved) {
    Sizes offsets(value.rank(), Size(0)), shape = turned.shape;
    shape.back() = Size(half);
    SmallVector<int64_t> steps(value.rank(), 1);
    steps.back() = 2;
    first = build.slice(turned, offsets, shape, steps);
    offsets.back() = Size(1);
    second = build.slice(turned, offsets, shape, steps);
  } else {
    first = build.slice(turned, last, Size(0), Size(half));
    second = build.slice(turned, last, Size(half), Size(half));
  }
  GraphValue real = build.map(value.element, {first, second, cosines, sines},
                              [](ElementBuilder &make, ValueRange x) {
                                return make.sub(make.mul(x[2], x[0]), make.mul(x[3], x[1]));
                              });
  GraphValue imaginary = build.map(value.element, {first, second, cosines, sines},
                                   [](ElementBuilder &make, ValueRange x) {
                                     return make.add(make.mul(x[3], x[0]), make.mul(x[2], x[1]));
                                   });
  GraphValue joined = isInterleaved
                          ? build.reshape(build.concat({build.unsqueeze(real, last + 1),
                                                        build.unsqueeze(imaginary, last + 1)},
                                                       last + 1),
                                          turned.shape)
                          : build.concat({real, imaginary}, last);
  if (value.shape.back().is(rotated))
    return joined;
  return build.concat(
      {joined, build.slice(value, last, Size(rotated), value.shape.back() - Size(rotated))}, last);
}

namespace {
/// What the two operators have in common.
struct Rotation {
  GraphValue value, cosines, sines;
  std::optional<GraphValue> positions;
  int64_t heads = 0;   ///< 0: not said
  int64_t rotated = 0; ///< 0: all of a head
  bool isInterleaved = false;
};
} // namespace

static void apply(NodeImport &node, Rotation rotation) {
  TensorBuilder &build = node.build();
  const GraphValue value = rotation.value;
  node.requireFloat(value, "its input");
  node.requireSameElement({value, rotation.cosines, rotation.sines});
  node.requireRank(value, 3, 4, "its input");
  if (node.failed())
    return;
  // (B, S, heads, D) of rows, else (B, heads, S, D).
  const bool isRows = value.rank() == 3;
  GraphValue cosines = rotation.cosines, sines = rotation.sines;
  if (rotation.positions) {
    node.requireRank(cosines, 2, 2, "its table of cosines");
    node.requireRank(sines, 2, 2, "its table of sines");
    if (node.failed())
      return;
    cosines = gatherRows(build, cosines, *rotation.positions);
    sines = gatherRows(build, sines, *rotation.positions);
  }
  if (cosines.rank() != 3 || sines.rank() != 3)
    return node.malformed("its cosines are {}, wanted batch x sequence x half a head",
                          shapeText(cosines.shape));
  if (!cosines.shape[2].isKnown())
    return node.unsupported("how much of a head it rotates is not known");
  const int64_t rotated = rotation.rotated ? rotation.rotated : 2 * cosines.shape[2].value();
  GraphValue heads = value;
  if (isRows) {
    std::optional<Size> size = rotation.heads ? value.shape[2].dividedBy(Size(rotation.heads))
                                              : std::optional(Size(rotated));
    std::optional<Size> count = size ? value.shape[2].dividedBy(*size) : std::nullopt;
    if (!size || !count)
      return node.malformed("cuts rows of {} into {} heads", shapeText(value.shape[2]),
                            rotation.heads);
    heads = build.reshape(value, {value.shape[0], value.shape[1], *count, *size});
  }
  if (!heads.shape[3].isKnown() || heads.shape[3].value() < rotated || rotated < 2 ||
      rotated % 2 != 0)
    return node.malformed("rotates {} elements of heads of {}", rotated, shapeText(heads.shape[3]));
  node.requireEqual(cosines.shape[2], Size(rotated / 2), "half of what is rotated and its cosines");
  node.requireEqual(sines.shape[2], Size(rotated / 2), "half of what is rotated and its sines");
  if (node.failed())
    return;
  const int64_t headDim = isRows ? 2 : 1;
  cosines = build.unsqueeze(cosines, headDim);
  sines = build.unsqueeze(sines, headDim);
  node.broadcastShape({build.slice(heads, 3, Size(0), Size(rotated / 2)), cosines, sines});
  if (node.failed())
    return;
  node.result(build.reshape(rotate(build, heads, cosines, sines, rotated, rotation.isInterleaved),
                            value.shape));
}

static void importRotary(NodeImport &node) {
  Rotation rotation;
  rotation.value = node.input(0);
  rotation.cosines = node.input(1);
  rotation.sines = node.input(2);
  if (node.has(3))
    rotation.positions = node.input(3);
  rotation.heads = node.integer("num_heads", 0);
  rotation.rotated = node.integer("rotary_embedding_dim", 0);
  rotation.isInterleaved = node.integer("interleaved", 0) != 0;
  if (rotation.value.rank() == 3 && rotation.heads < 1)
    return node.malformed("its input has rank 3 and `num_heads` is {}", rotation.heads);
  apply(node, std::move(rotation));
}

static void importContributedRotary(NodeImport &node) {
  if (node.real("scale", 1) != 1 || node.integer("is_packed_batching", 0) != 0)
    return node.unsupported("`scale` is {} and `is_packed_batching` {}", node.real("scale", 1),
                            node.integer("is_packed_batching", 0));
  Rotation rotation;
  rotation.value = node.input(0);
  rotation.cosines = node.input(2);
  rotation.sines = node.input(3);
  rotation.heads = node.integer("num_heads", 0);
  rotation.rotated = node.integer("rotary_embedding_dim", 0);
  rotation.isInterleaved = node.integer("interleaved", 0) != 0;
  node.requireRank(rotation.value, 3, 4, "its input");
  node.requireRank(node.input(1), 1, 2, "its positions");
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  GraphValue positions = node.input(1);
  if (positions.rank() == 1) { // of the first row
    const Size rows = rotation.value.shape[rotation.value.rank() == 3 ? 1 : 2];
    positions = build.add(build.unsqueeze(build.convert(positions, ElementType::Int64), 1),
                          build.iota(ElementType::Int64, rows));
    positions = build.broadcast(positions, {rotation.value.shape[0], rows});
  }
  rotation.positions = positions;
  apply(node, std::move(rotation));
}

llvm::ArrayRef<OpRule> moec::rotaryOps() {
  static const OpRule rules[] = {
      {"",
       "RotaryEmbedding",
       {{23, "interleaved:i num_heads:i rotary_embedding_dim:i", 3, 4}},
       importRotary},
      {"com.microsoft",
       "RotaryEmbedding",
       {{1, "interleaved:i is_packed_batching:i num_heads:i rotary_embedding_dim:i scale:f", 4, 4}},
       importContributedRotary},
  };
  return rules;
}
