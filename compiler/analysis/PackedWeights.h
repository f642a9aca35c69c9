// What a program's weights take in memory, by the types that modules give them.

#ifndef MOEC_COMPILER_ANALYSIS_PACKEDWEIGHTS_H
#define MOEC_COMPILER_ANALYSIS_PACKEDWEIGHTS_H

#include "compiler/analysis/BandLayout.h"
#include "dialects/lm/LmDialect.h"
#include "runtime/core/Quantization.h"

#include <optional>

namespace moec {

/// The dialect lists the formats as the runtime does.
inline QuantFormat quantFormat(lm::QuantFormat format) { return static_cast<QuantFormat>(format); }
static_assert(lm::getMaxEnumValForQuantFormat() == std::size(kQuantFormats) - 1);

/// The format of quantised elements; none for others.
inline std::optional<QuantFormat> quantFormatOf(mlir::Type element) {
  if (auto quantized = mlir::dyn_cast<lm::QuantizedType>(element))
    return quantFormat(quantized.getFormat());
  return std::nullopt;
}

/// Whether a product reads what `load` names, all of it; else single rows are looked up.
inline bool isMultiplied(lm::LoadWeightOp load) {
  return llvm::any_of(load->getUsers(),
                      [](mlir::Operation *user) { return !mlir::isa<lm::EmbeddingOp>(user); });
}

/// Bytes of a matrix of rows x columns in panels.
inline int64_t panelBytes(mlir::Type element, int64_t rows, int64_t columns) {
  if (std::optional<QuantFormat> format = quantFormatOf(element))
    return quantMatrixBytes(*format, rows, columns);
  return panelMatrixBytes(rows, columns, element.getIntOrFloatBitWidth() / 8);
}

/// Whether a matrix is in bands: so quantised ones have their rows.
inline bool isInBands(lm::Layout layout, mlir::Type element) {
  return layout == lm::Layout::Rows && quantFormatOf(element);
}

/// Rows that a matrix of so many has as the program holds it.
inline int64_t packedRows(lm::Layout layout, mlir::Type element, int64_t rows) {
  if (layout == lm::Layout::Panels)
    return panelColumns(rows);
  return isInBands(layout, element) ? bandCount(rows) * kBandRows : rows;
}

/// Bytes of a matrix of rows x columns as the program holds it.
inline int64_t packedBytes(lm::Layout layout, mlir::Type element, int64_t rows, int64_t columns) {
  if (layout == lm::Layout::Panels)
    return panelBytes(element, rows, columns);
  if (isInBands(layout, element))
    return bandMatrixBytes(*quantFormatOf(element), rows, columns);
  return rows * columns * (element.getIntOrFloatBitWidth() / 8);
}

/// Bytes of a tensor that is held as it is stored; a boolean has one.
inline int64_t tensorBytes(lm::TensorOp tensor) {
  auto type = mlir::cast<mlir::RankedTensorType>(tensor.getType());
  return type.getNumElements() * ((type.getElementTypeBitWidth() + 7) / 8);
}

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_PACKEDWEIGHTS_H
