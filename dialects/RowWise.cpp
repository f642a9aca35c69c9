// Cuts row-wise ops into slices of their rows.

#include "dialects/RowWise.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "dialects/RowWise.cpp.inc"

using namespace mlir;
using namespace moec;

OpFoldResult moec::extentOf(OpBuilder &builder, Location loc, Value value, int64_t dimension) {
  if (isa<MemRefType>(value.getType()))
    return memref::getMixedSize(builder, loc, value, dimension);
  return tensor::getMixedSize(builder, loc, value, dimension);
}

/// Rows [first, first + rows) of a tensor or memref, and all of its columns.
static Value rowsOf(OpBuilder &builder, Location loc, Value value, OpFoldResult first,
                    OpFoldResult rows) {
  unsigned rank = cast<ShapedType>(value.getType()).getRank();
  SmallVector<OpFoldResult> offsets(rank, builder.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(rank, builder.getIndexAttr(1));
  offsets[0] = first;
  SmallVector<OpFoldResult> sizes{rows};
  for (unsigned dimension = 1; dimension < rank; ++dimension)
    sizes.push_back(moec::extentOf(builder, loc, value, dimension));
  if (isa<MemRefType>(value.getType()))
    return memref::SubViewOp::create(builder, loc, value, offsets, sizes, strides);
  return tensor::ExtractSliceOp::create(builder, loc, value, offsets, sizes, strides);
}

TilingResult moec::sliceRows(RowWiseOpInterface op, OpBuilder &builder, OpFoldResult first,
                             OpFoldResult rows) {
  auto destination = cast<DestinationStyleOpInterface>(*op);
  TilingResult tile;
  SmallVector<Value> operands;
  SmallVector<Type> results;
  for (OpOperand &operand : op->getOpOperands()) {
    Value value = operand.get();
    if (isa<RankedTensorType, MemRefType>(value.getType()) && !op.readsWhole(operand)) {
      value = rowsOf(builder, op.getLoc(), value, first, rows);
      tile.generatedSlices.push_back(value.getDefiningOp());
    }
    if (destination.isDpsInit(&operand) && isa<TensorType>(value.getType()))
      results.push_back(value.getType());
    operands.push_back(value);
  }
  Operation *slice = clone(builder, op, results, operands);
  tile.tiledOps = {slice};
  tile.tiledValues.assign(slice->result_begin(), slice->result_end());
  return tile;
}

bool moec::isWholeRows(Value result, ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes) {
  int64_t columns = cast<ShapedType>(result.getType()).getDimSize(1);
  return isZeroInteger(offsets[1]) && ShapedType::isStatic(columns) &&
         isConstantIntValue(sizes[1], columns);
}

void moec::loadSliceDialects(MLIRContext *context) {
  context->loadDialect<memref::MemRefDialect, tensor::TensorDialect>();
}
