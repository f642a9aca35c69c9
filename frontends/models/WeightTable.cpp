// Declares weights and checks the tensors behind them.

#include "frontends/models/WeightTable.h"

#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

#include <algorithm>

using namespace mlir;
using namespace moec;

static Type elementType(MLIRContext *context, DataType type) {
  switch (type) {
  case DataType::BF16:
    return BFloat16Type::get(context);
  case DataType::F16:
    return Float16Type::get(context);
  case DataType::F8E4M3:
    return Float8E4M3FNType::get(context);
  case DataType::F4:
    return Float4E2M1FNType::get(context);
  default:
    assert(type == DataType::F32 && "a claim gives no other type");
    return Float32Type::get(context);
  }
}

/// How a family is stored, for messages.
static std::string textOf(const StoredFamily &stored) {
  const std::string type(dataTypeName(stored.type));
  if (stored.scales.empty())
    return type;
  auto extent = [](int64_t count, const char *all) {
    return count ? std::to_string(count) : std::string(all);
  };
  return fmt::format("{} in `{}` with a scale in `{}` for {} rows by {} columns", type,
                     stored.pattern, stored.scales, extent(stored.scaleRows, "all"),
                     extent(stored.scaleColumns, "all"));
}

/// The tensors that `weight` lies in.
static TensorFamily familyOf(const Weight &weight, ArrayRef<int64_t> layers) {
  TensorFamily family{.pattern = weight.source.pattern,
                      .layers = layers.vec(),
                      .shape = weight.shape,
                      .isVectors = weight.areVectors};
  if (!weight.source.shape.empty()) {
    family.shape = weight.source.shape;
    bool hasOwn = weight.source.pattern.find("{e}") != std::string::npos;
    family.experts = hasOwn ? weight.shape.front() : 0;
    return family;
  }
  if (weight.shape.size() < 3)
    return family;
  if (weight.source.rowsPerExpert > 0) {
    family.shape[1] = weight.source.rowsPerExpert;
  } else {
    family.experts = weight.shape.front();
    family.shape.erase(family.shape.begin());
  }
  return family;
}

WeightTable::WeightTable(const Checkpoint &checkpoint, QuantizationConfig quantization,
                         OpBuilder symbols)
    : directory(checkpoint.directory()), claims(checkpoint, quantization), symbols(symbols) {
  if (quantization.codes == QuantizationConfig::Codes::Float8)
    for (const char *scale : {"*.input_scale", "*.activation_scale"})
      claims.skip(scale); // of activations, which stay floats here
}

TensorRows WeightTable::sourceOf(const Weight &weight, ArrayRef<int64_t> layers) const {
  TensorRows source = weight.source;
  if (!source.transposed ||
      !claims.isMxfp4({.pattern = source.pattern, .layers = layers.vec(), .shape = {}}))
    return source;
  source.transposed = false;
  const size_t rank = source.shape.size();
  if (rank > 1)
    std::swap(source.shape[rank - 2], source.shape[rank - 1]);
  if (source.rowsPerExpert > 0 && rank > 1)
    source.rowsPerExpert = source.shape[rank - 2];
  return source;
}

StoredFamily WeightTable::claim(const Weight &weight, ArrayRef<int64_t> layers) {
  StoredFamily fallback{.pattern = weight.source.pattern};
  if (!failure.ok())
    return fallback;
  Result<StoredFamily> stored = claims.claim(familyOf(weight, layers));
  if (stored.ok())
    return *stored;
  failure = stored.status();
  return fallback;
}

void WeightTable::count(const Weight &weight, ArrayRef<int64_t> layers) {
  bool hasExperts = weight.shape.size() == 3 && !weight.areHeads;
  uint64_t matrix = std::max<size_t>(layers.size(), 1);
  for (int64_t extent : ArrayRef(weight.shape).drop_front(hasExperts))
    matrix = llvm::SaturatingMultiply<uint64_t>(matrix, extent);
  uint64_t experts = hasExperts ? weight.shape.front() : 1, used = hasExperts ? picked : 1;
  total = llvm::SaturatingMultiplyAdd<uint64_t>(matrix, experts, total);
  active = llvm::SaturatingMultiplyAdd<uint64_t>(matrix, used, active);
}

lm::WeightType WeightTable::declare(const Weight &asked, ArrayRef<int64_t> layers) {
  const Weight weight{asked.symbol, asked.shape, sourceOf(asked, layers), asked.areHeads,
                      asked.areVectors};
  const Declared before = declared.lookup(weight.symbol);
  lm::WeightOp known = before.op;
  SmallVector<int64_t> added;
  for (int64_t layer : layers)
    if (!known || !llvm::is_contained(known.getLayers(), layer))
      added.push_back(layer);
  if (known && added.empty())
    return known.getType();

  StoredFamily stored = claim(weight, added);
  count(weight, added);
  if (known) {
    if (stored != before.stored && failure.ok())
      failure = {Code::Unsupported,
                 fmt::format(
                     "{}: tensors `{}` are stored as {} in layer {}, and as {} in layer {}; moec "
                     "wants tensors of a kind stored alike in all layers: convert them to one type",
                     directory, weight.source.pattern, textOf(before.stored),
                     known.getLayers().front(), textOf(stored), added.front())};
    added.append(known.getLayers().begin(), known.getLayers().end());
    llvm::sort(added);
    known.setLayers(added);
    return known.getType();
  }

  MLIRContext *context = symbols.getContext();
  auto type = lm::WeightType::get(context, weight.shape, elementType(context, stored.type));
  int64_t rows = weight.shape[weight.shape.size() == 3 ? 1 : 0];
  lm::ScalesAttr scales;
  if (!stored.scales.empty())
    scales = lm::ScalesAttr::get(context, stored.scales, stored.scaleRows, stored.scaleColumns);
  Attribute piece = lm::PieceAttr::get(
      context, stored.pattern, rows, weight.source.firstRow, weight.source.rowStep,
      weight.source.rowsPerExpert, weight.source.transposed, /*side_by_side=*/false,
      /*first_expert=*/0, /*experts=*/0, type.getElementType(), scales);
  auto op =
      lm::WeightOp::create(symbols, NameLoc::get(symbols.getStringAttr(weight.source.pattern)),
                           symbols.getStringAttr(weight.symbol), TypeAttr::get(type),
                           weight.areHeads ? symbols.getUnitAttr() : UnitAttr(),
                           weight.areVectors ? symbols.getUnitAttr() : UnitAttr(),
                           symbols.getDenseI64ArrayAttr(added), symbols.getArrayAttr(piece),
                           /*quantized=*/nullptr, /*packed=*/nullptr);
  declared[weight.symbol] = {op, std::move(stored)};
  return type;
}

bool WeightTable::has(const std::string &pattern, ArrayRef<int64_t> layers) const {
  return claims.has({.pattern = pattern, .layers = layers.vec(), .shape = {}});
}

Status WeightTable::finish(const std::function<std::string(std::string_view)> &explain) const {
  return failure.ok() ? claims.finish(explain) : failure;
}
