// How packed weights lie in memory: the arithmetic that the compiler, the packer and the runtime
// share.

#ifndef MOEC_RUNTIME_CORE_PACKEDLAYOUT_H
#define MOEC_RUNTIME_CORE_PACKEDLAYOUT_H

#include <cstdint>

namespace moec {

/// Rows of a weight (columns of the product) that one panel holds, and what a narrower last panel
/// is a multiple of.
inline constexpr int64_t kPanelColumns = 48;
inline constexpr int64_t kPanelLanes = 16;

/// Every packed weight starts at a multiple of this many bytes.
inline constexpr int64_t kPackedAlignment = 64;

constexpr int64_t roundUpTo(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr int64_t alignPacked(int64_t bytes) { return roundUpTo(bytes, kPackedAlignment); }

/// Panels of a weight of `rows` rows.
constexpr int64_t panelCount(int64_t rows) { return (rows + kPanelColumns - 1) / kPanelColumns; }

/// Columns of all of them: whole panels, then what is left, rounded up to whole lanes.
constexpr int64_t panelColumns(int64_t rows) {
  return rows / kPanelColumns * kPanelColumns + roundUpTo(rows % kPanelColumns, kPanelLanes);
}

/// Inner extent as stored: elements of 16 bits go in pairs.
constexpr int64_t panelDepth(int64_t columns, int64_t elementBytes) {
  return elementBytes == 2 ? roundUpTo(columns, 2) : columns;
}

/// Bytes of a weight of rows x columns in panels. Panel p starts at p * 48 * panelDepth *
/// elementBytes and holds [columns][width] elements of four bytes, or [columns / 2][width][2] of
/// two; `width` is 48, in the last panel what is left.
constexpr int64_t panelMatrixBytes(int64_t rows, int64_t columns, int64_t elementBytes) {
  return panelColumns(rows) * panelDepth(columns, elementBytes) * elementBytes;
}

} // namespace moec

#endif // MOEC_RUNTIME_CORE_PACKEDLAYOUT_H
