// Implements lm-pack-weights.

#include "compiler/analysis/StoredWeights.h"
#include "compiler/transforms/Passes.h"

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
    llvm::StringMap<bool> multiplied; // of the weights in use
    module.walk([&](lm::LoadWeightOp load) { multiplied[load.getWeight()] |= isMultiplied(load); });
    int64_t next = 0;
    for (lm::WeightOp weight : llvm::make_early_inc_range(module.getOps<lm::WeightOp>())) {
      if (!multiplied.count(weight.getSymName())) {
        weight.erase();
        continue;
      }
      if (mapped && weight.getQuantized()) {
        weight.emitOpError()
            << "is to be quantized, which mapped weights cannot be; use --weights=pack";
        return signalPassFailure();
      }
      if (mapped && isStoredAsCodes(weight)) {
        weight.emitOpError() << "is stored as " << weight.getType().getElementType()
                             << " with scales, which mapped weights cannot be; use --weights=pack";
        return signalPassFailure();
      }
      if (mapped) {
        if (weight.getPieces().size() != 1) {
          weight.emitOpError()
              << "is made of " << weight.getPieces().size()
              << " stored tensors, which mapped weights cannot be; use --weights=pack";
          return signalPassFailure();
        }
        if (StringRef obstacle = whyNotMapped(cast<lm::PieceAttr>(weight.getPieces()[0]));
            !obstacle.empty()) {
          weight.emitOpError(obstacle)
              << ", and mapped weights are used as they lie; use --weights=pack";
          return signalPassFailure();
        }
        weight.setPackedAttr(lm::PackedAttr::get(&getContext(), lm::Layout::Rows,
                                                 weight.getType().getElementType(), next, true));
        next += weight.getNumOrdinals() * std::max<int64_t>(weight.getNumExperts(), 1);
        continue;
      }
      lm::PackedAttr packed = choose(weight, multiplied.lookup(weight.getSymName()), next);
      weight.setPackedAttr(packed);
      next += stackBytes(weight, packed);
    }
  }

private:
  /// What keeps a piece from being used where it lies; empty where nothing does.
  static StringRef whyNotMapped(lm::PieceAttr piece) {
    if (piece.getSideBySide())
      return "has experts side by side in a stored row";
    if (piece.getTransposed())
      return "is stored transposed";
    return piece.getRowStep() != 1 ? "is every so many rows of a stored tensor" : "";
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
    return alignPacked(matrix * weight.getNumOrdinals() *
                       std::max<int64_t>(weight.getNumExperts(), 1));
  }
};

} // namespace
