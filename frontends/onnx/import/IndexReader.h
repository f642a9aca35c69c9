// Indices that tensors hold, read in bodies of loops.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_INDEXREADER_H
#define MOEC_FRONTENDS_ONNX_IMPORT_INDEXREADER_H

#include "frontends/onnx/import/TensorBuilder.h"

namespace moec {

/// Reads indices into a dimension, and keeps them inside of it.
class IndexReader {
public:
  IndexReader(TensorBuilder &build, const GraphValue &indices, const Size &size)
      : tensor(build.tensorOf(indices)), size(build.indexOf(size)),
        isUnsigned(moec::isUnsigned(indices.element)),
        isInside(indices.below && build.sizeTable().isNonNegative(size - *indices.below)) {
    if (!isInside)
      last = build.indexOf(size - Size(1));
  }

  /// The index at `place` of the tensor.
  mlir::Value at(ElementBuilder &make, llvm::ArrayRef<mlir::Value> place) const {
    mlir::Value index = ElementBuilder(make.ops(), make.where(), isUnsigned)
                            .toIndex(TensorBuilder::extract(make, tensor, place));
    if (isInside)
      return index;
    mlir::Value zero = make.index(0);
    if (!isUnsigned)
      index = make.select(make.less(index, zero), make.add(index, size), index);
    return make.max(make.min(index, last), zero);
  }

private:
  mlir::Value tensor, size, last;
  bool isUnsigned, isInside;
};

/// The element at `from` where `isInside`, else `fill`. `from` is a place in the tensor, but if it
/// has no elements.
mlir::Value readInside(ElementBuilder &make, mlir::Value isInside, mlir::Value tensor,
                       llvm::ArrayRef<mlir::Value> from, mlir::Value fill, bool mayBeEmpty);

/// Rows of `table`, of any rank, where `indices` say.
GraphValue gatherRows(TensorBuilder &build, const GraphValue &table, const GraphValue &indices);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_INDEXREADER_H
