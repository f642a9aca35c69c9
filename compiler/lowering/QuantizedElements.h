// Single elements of quantised matrices.

#ifndef MOEC_COMPILER_LOWERING_QUANTIZEDELEMENTS_H
#define MOEC_COMPILER_LOWERING_QUANTIZEDELEMENTS_H

#include "compiler/lowering/Operands.h"

namespace moec {

/// Where a row of a matrix in panels lies.
struct PanelRow {
  mlir::Value panel, width; ///< which panel, and of how many rows
  mlir::Value lane;         ///< which of them
};

PanelRow panelRow(KernelBuilder &kernel, const Matrix &matrix, mlir::Value row);

/// One element of a quantised matrix as f32; plain and slow.
mlir::Value quantizedElement(KernelBuilder &kernel, const Matrix &matrix, mlir::Value row,
                             mlir::Value column);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_QUANTIZEDELEMENTS_H
