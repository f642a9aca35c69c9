// Builds the experts of a layer, as unfused ops, from a choice that is made already.

#ifndef MOEC_DIALECTS_LAYERS_EXPERTLAYER_H
#define MOEC_DIALECTS_LAYERS_EXPERTLAYER_H

#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/IR/SymbolTable.h"

#include <optional>

namespace moec {

/// What the experts of a layer have of one kind, as tensors of a graph's model hold it: a matrix of
/// `rows` x `columns` each, or a bias, a column of `rows`.
struct ExpertWeight {
  /// One that holds those of all experts one after the other, or one for each expert; all of one
  /// element type, for which isExpertElement().
  llvm::SmallVector<lm::TensorOp> tensors;
  int64_t rows = 0, columns = 1;
  bool areBiases = false;
  /// Which of an expert's stored rows the first one is, and how far apart they are: halves, or rows
  /// in turn, of a tensor that holds gate and up.
  int64_t firstRow = 0, rowStep = 1;
  bool isTransposed = false; ///< `rows` are columns of what is stored
};

/// Whether weights may be stored so.
bool isExpertElement(mlir::Type element);

/// The value of a weight of `experts` experts, whose `lm.weight` is made where `symbols`, of the
/// module, has none.
mlir::Value loadExpertWeight(mlir::OpBuilder &builder, mlir::Location loc,
                             mlir::SymbolTable &symbols, int64_t experts,
                             const ExpertWeight &weight);

/// What the ops of an expert layer work on.
struct ExpertOperands {
  mlir::Value tokens;             ///< T x H
  mlir::Value experts, weights;   ///< T x K: the choice, as moe.route makes it
  mlir::Value gate = {};          ///< a weight of rank 3; none: `activation` is of up alone
  mlir::Value up = {}, down = {}; ///< weights of rank 3
  mlir::Value gateBias = {}, upBias = {}, downBias = {}; ///< each may be null
  moe::ActivationAttr activation;
  bool weighsInput = false; ///< a pick's weight multiplies what the expert gets
};

/// The sum of what each token's experts make of it (T x H): moe.dispatch, moe.grouped_matmul,
/// moe.gated_activation and moe.combine.
mlir::Value buildExpertLayer(mlir::OpBuilder &builder, mlir::Location loc,
                             const ExpertOperands &operands);

} // namespace moec

#endif // MOEC_DIALECTS_LAYERS_EXPERTLAYER_H
