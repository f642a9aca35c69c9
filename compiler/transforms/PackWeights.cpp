// Implements lm-pack-weights.

#include "compiler/analysis/StoredWeights.h"
#include "compiler/transforms/FloatNames.h"
#include "compiler/transforms/Passes.h"
#include "llvm/ADT/StringSet.h"

namespace moec {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct PackWeights final : moec::impl::PackWeightsBase<PackWeights> {
  using PackWeightsBase::PackWeightsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (failed(verifyFloatNames(module, StringRef(activations))))
      return signalPassFailure();
    llvm::StringMap<bool> multiplied; // of the weights in use
    module.walk([&](lm::LoadWeightOp load) { multiplied[load.getWeight()] |= isMultiplied(load); });
    int64_t next = 0;
    for (lm::WeightOp weight : llvm::make_early_inc_range(module.getOps<lm::WeightOp>())) {
      if (!multiplied.count(weight.getSymName())) {
        weight.erase();
        continue;
      }
      if (mapped) {
        if (std::string obstacle = whyNotMapped(weight); !obstacle.empty()) {
          weight.emitOpError(refusalToMap(obstacle));
          return signalPassFailure();
        }
        weight.setPackedAttr(lm::PackedAttr::get(&getContext(), lm::Layout::Rows,
                                                 weight.getType().getElementType(), next, true));
        next += weight.getNumOrdinals() * weight.getNumMatrices();
        continue;
      }
      lm::PackedAttr packed = choose(weight, multiplied.lookup(weight.getSymName()), next);
      weight.setPackedAttr(packed);
      next += stackBytes(weight, packed);
    }
    placeTensors(module, next);
    if (rows)
      module.walk([&](lm::AttentionOp attention) {
        auto cache = lm::cacheOf(attention);
        if (getElementTypeOrSelf(attention.getQueries()).isBF16() && cache.getElement().isBF16() &&
            !cache.getIndexed())
          cache.setRows(true);
      });
  }

private:
  /// Behind the weights.
  static void placeTensors(ModuleOp module, int64_t next) {
    llvm::StringSet<> used;
    module.walk([&](lm::LoadTensorOp load) { used.insert(load.getTensor()); });
    for (lm::TensorOp tensor : llvm::make_early_inc_range(module.getOps<lm::TensorOp>())) {
      if (!used.contains(tensor.getSymName())) {
        tensor.erase();
        continue;
      }
      tensor.setOffset(next);
      next += alignPacked(tensorBytes(tensor));
    }
  }

  lm::PackedAttr choose(lm::WeightOp weight, bool byProducts, int64_t offset) {
    Type element = weight.getType().getElementType();
    lm::Layout layout = lm::Layout::Rows;
    std::optional<lm::QuantFormat> format = weight.getQuantized();
    if (std::optional<QuantFormat> stored = storedFormatOf(weight); stored && !format)
      format = static_cast<lm::QuantFormat>(*stored);
    if (isStoredAsCodes(weight)) // where it does not keep them
      element = Float32Type::get(&getContext());
    if (weight.holdsVectors())
      element = Float32Type::get(&getContext());
    else if (byProducts || format) {
      if (!rows)
        layout = lm::Layout::Panels;
      if (format)
        element = lm::QuantizedType::get(&getContext(), *format);
      else if (activations == "bf16")
        element = BFloat16Type::get(&getContext());
    }
    return lm::PackedAttr::get(&getContext(), layout, element, offset, false);
  }

  /// Bytes of all tensors of the stack, up to where the next weight may start.
  static int64_t stackBytes(lm::WeightOp weight, lm::PackedAttr packed) {
    ArrayRef<int64_t> shape = weight.getType().getShape();
    int64_t columns = shape.back(), rows = shape.size() == 1 ? 1 : shape[shape.size() - 2];
    int64_t matrix = packedBytes(packed.getLayout(), packed.getElement(), rows, columns);
    return alignPacked(matrix * weight.getNumOrdinals() * weight.getNumMatrices());
  }
};

} // namespace
