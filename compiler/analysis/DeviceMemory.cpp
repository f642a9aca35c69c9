// Adds up the symbols' sizes; the arena's are what its function comes to.

#include "compiler/analysis/DeviceMemory.h"

#include "compiler/analysis/PackedWeights.h"

#include "mlir/IR/Matchers.h"

#include <algorithm>
#include <map>

using namespace mlir;
using namespace moec;

/// Of a layer, or of a weight that belongs to none.
static int64_t ordinalBytes(lm::WeightOp weight) {
  ArrayRef<int64_t> shape = weight.getType().getShape();
  const int64_t rows = shape.size() == 1 ? 1 : shape[shape.size() - 2];
  lm::PackedAttr packed = weight.getPackedAttr();
  return packedBytes(packed.getLayout(), packed.getElement(), rows, shape.back()) *
         weight.getNumMatrices();
}

DeviceNeeds moec::weightNeeds(ModuleOp scheduled) {
  DeviceNeeds needs;
  std::map<int64_t, int64_t> bytesOf; // layers
  for (auto weight : scheduled.getOps<lm::WeightOp>()) {
    if (weight.getNumExperts() == 0) {
      needs.otherWeights += ordinalBytes(weight) * weight.getNumOrdinals();
      continue;
    }
    for (int64_t layer : weight.getLayers())
      bytesOf[layer] += ordinalBytes(weight);
  }
  for (auto [layer, bytes] : bytesOf)
    needs.experts.push_back({layer, bytes});
  return needs;
}

/// What the function, of one block of foldable ops, returns for such arguments.
static std::optional<int64_t> evaluate(func::FuncOp function, ArrayRef<int64_t> arguments) {
  llvm::DenseMap<Value, Attribute> known;
  Builder builder(function.getContext());
  for (auto [argument, value] : llvm::zip_equal(function.getArguments(), arguments))
    known[argument] = builder.getIntegerAttr(argument.getType(), value);
  for (Operation &op : function.getBody().front().without_terminator()) {
    SmallVector<Attribute> operands;
    for (Value operand : op.getOperands())
      operands.push_back(known.lookup(operand));
    SmallVector<OpFoldResult> results;
    if (failed(op.fold(operands, results)) || results.size() != op.getNumResults())
      return std::nullopt;
    for (auto [value, result] : llvm::zip_equal(op.getResults(), results)) {
      auto attribute = dyn_cast<Attribute>(result);
      known[value] = attribute ? attribute : known.lookup(cast<Value>(result));
    }
  }
  auto result = dyn_cast_or_null<IntegerAttr>(
      known.lookup(function.getBody().front().getTerminator()->getOperand(0)));
  return result ? std::optional(result.getInt()) : std::nullopt;
}

std::optional<int64_t> moec::arenaBytes(ModuleOp scheduled, int64_t tokens, int64_t sequences,
                                        int64_t outputs) {
  auto function = scheduled.lookupSymbol<func::FuncOp>("moec_program_arena_bytes");
  if (!function)
    return std::nullopt;
  return evaluate(function, {tokens, sequences, outputs, /*threads=*/1});
}

std::vector<int64_t> moec::layersWithoutRoom(std::vector<LayerExperts> experts, int64_t room) {
  llvm::sort(experts, [](const LayerExperts &left, const LayerExperts &right) {
    return std::pair(left.bytes, left.layer) < std::pair(right.bytes, right.layer);
  });
  std::vector<int64_t> layers;
  for (const LayerExperts &layer : experts) {
    if (layer.bytes > room || !layers.empty())
      layers.push_back(layer.layer);
    else
      room -= layer.bytes;
  }
  llvm::sort(layers);
  return layers;
}
