// Ops that work row by row: which of their operands they read so, and tiling by rows.

#ifndef MOEC_DIALECTS_ROWWISE_H
#define MOEC_DIALECTS_ROWWISE_H

#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/TilingInterface.h"

#include "dialects/RowWise.h.inc"

namespace moec {

/// Whether `operand` is the one, or is one of those, that an accessor gives.
inline bool isAmong(mlir::OpOperand &operand, mlir::OpOperand &accessed) {
  return &operand == &accessed;
}
inline bool isAmong(mlir::OpOperand &operand, mlir::MutableOperandRange accessed) {
  return llvm::any_of(accessed, [&](mlir::OpOperand &one) { return &operand == &one; });
}

/// Extent `dimension` of a tensor or memref.
mlir::OpFoldResult extentOf(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value,
                            int64_t dimension);

/// The op on the rows [first, first + rows) of all that it does not read as a whole: slices of
/// tensors, subviews of memrefs.
mlir::TilingResult sliceRows(RowWiseOpInterface op, mlir::OpBuilder &builder,
                             mlir::OpFoldResult first, mlir::OpFoldResult rows);

/// Whether a tile of `result` is made of whole rows.
bool isWholeRows(mlir::Value result, mlir::ArrayRef<mlir::OpFoldResult> offsets,
                 mlir::ArrayRef<mlir::OpFoldResult> sizes);

/// Tiling of a destination-style op along its rows, in parallel: for ops whose rows may be numbered
/// anew, which those that look up a row's position in the batch may not.
template <typename Op> struct RowTiling : mlir::TilingInterface::ExternalModel<RowTiling<Op>, Op> {
  using Extents = mlir::ArrayRef<mlir::OpFoldResult>;
  using NewExtents = mlir::SmallVectorImpl<mlir::OpFoldResult>;

  mlir::SmallVector<mlir::utils::IteratorType> getLoopIteratorTypes(mlir::Operation *) const {
    return {mlir::utils::IteratorType::parallel};
  }

  mlir::SmallVector<mlir::Range> getIterationDomain(mlir::Operation *op,
                                                    mlir::OpBuilder &builder) const {
    mlir::Value out = mlir::cast<Op>(op).getDpsInits().front();
    return {mlir::Range{builder.getIndexAttr(0), extentOf(builder, op->getLoc(), out, 0),
                        builder.getIndexAttr(1)}};
  }

  mlir::FailureOr<mlir::TilingResult> getTiledImplementation(mlir::Operation *op,
                                                             mlir::OpBuilder &builder,
                                                             Extents offsets, Extents sizes) const {
    return sliceRows(mlir::cast<RowWiseOpInterface>(op), builder, offsets[0], sizes[0]);
  }

  mlir::LogicalResult
  getResultTilePosition(mlir::Operation *op, mlir::OpBuilder &builder, unsigned result,
                        Extents offsets, Extents sizes,
                        mlir::SmallVector<mlir::OpFoldResult> &resultOffsets,
                        mlir::SmallVector<mlir::OpFoldResult> &resultSizes) const {
    resultOffsets = {offsets[0], builder.getIndexAttr(0)};
    resultSizes = {sizes[0], extentOf(builder, op->getLoc(), op->getResult(result), 1)};
    return mlir::success();
  }

  mlir::LogicalResult getIterationDomainTileFromResultTile(mlir::Operation *op, mlir::OpBuilder &,
                                                           unsigned result, Extents offsets,
                                                           Extents sizes, NewExtents &tileOffsets,
                                                           NewExtents &tileSizes) const {
    if (!isWholeRows(op->getResult(result), offsets, sizes))
      return mlir::failure();
    tileOffsets.assign({offsets[0]});
    tileSizes.assign({sizes[0]});
    return mlir::success();
  }

  mlir::FailureOr<mlir::TilingResult> generateResultTileValue(mlir::Operation *op,
                                                              mlir::OpBuilder &builder,
                                                              unsigned result, Extents offsets,
                                                              Extents sizes) const {
    if (!isWholeRows(op->getResult(result), offsets, sizes))
      return mlir::failure();
    mlir::TilingResult tile =
        sliceRows(mlir::cast<RowWiseOpInterface>(op), builder, offsets[0], sizes[0]);
    tile.tiledValues = {tile.tiledValues[result]};
    return tile;
  }
};

/// Loads the dialects of the slices that tiling makes.
void loadSliceDialects(mlir::MLIRContext *context);

/// Attaches RowTiling to `Ops`.
template <typename... Ops> void attachRowTiling(mlir::MLIRContext *context) {
  loadSliceDialects(context);
  (Ops::template attachInterface<RowTiling<Ops>>(*context), ...);
}

} // namespace moec

#endif // MOEC_DIALECTS_ROWWISE_H
