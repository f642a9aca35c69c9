// What the elements of tensors are, by ops of linalg, tensor, arith and linalg_ext.

#ifndef MOEC_COMPILER_ANALYSIS_TENSORELEMENTS_H
#define MOEC_COMPILER_ANALYSIS_TENSORELEMENTS_H

#include "compiler/analysis/ElementExpression.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "llvm/ADT/EquivalenceClasses.h"

#include <functional>

namespace moec {

namespace linalg_ext {
class ScatterOp;
}

/// Looks into what moves elements or computes integers, and into the ops for which `opens`; what
/// others make is read.
class TensorElements {
public:
  using Opens = std::function<bool(mlir::Operation *)>;

  TensorElements(mlir::MLIRContext *context, Opens opens)
      : expressions(context), opens(std::move(opens)) {}

  /// Loops of the caller have lower levels than those of folds.
  static constexpr unsigned kFoldLevels = 8;

  ElementTable &table() { return expressions; }
  /// The element of `tensor` at `place`.
  Expr at(mlir::Value tensor, llvm::ArrayRef<Expr> place);
  /// A number that is no tensor.
  Expr scalar(mlir::Value value);
  Expr sizeOf(mlir::Value tensor, unsigned dimension);
  /// What a read element is made of, a step further than `opens` goes; null where it is not known.
  Expr open(Expr read);
  /// A tensor whose element at `place` was found to be `e`, or one of the same rows whose first
  /// dimensions count them otherwise; null where there was none.
  mlir::Value tensorOf(Expr e, llvm::ArrayRef<Expr> place);

private:
  using Scope = llvm::DenseMap<mlir::Value, Expr>;

  Expr evaluate(mlir::Value tensor, llvm::ArrayRef<Expr> place);
  Expr ofGeneric(mlir::linalg::LinalgOp op, unsigned result, llvm::ArrayRef<Expr> place);
  llvm::SmallVector<Expr> loopsAt(mlir::linalg::LinalgOp op, unsigned result,
                                  llvm::ArrayRef<Expr> place);
  std::optional<llvm::SmallVector<Expr>> placeOf(mlir::linalg::LinalgOp op,
                                                 mlir::OpOperand &operand,
                                                 llvm::ArrayRef<Expr> loops,
                                                 llvm::MutableArrayRef<Expr> sizes);
  bool enterBody(mlir::linalg::LinalgOp op, llvm::ArrayRef<Expr> loops, Scope &scope);
  Expr ofConstant(mlir::DenseElementsAttr elements, llvm::ArrayRef<Expr> place);
  Expr ofCollapse(mlir::Value tensor, llvm::ArrayRef<Expr> place);
  Expr ofExpand(mlir::Value tensor, llvm::ArrayRef<Expr> place);
  Expr ofSlice(mlir::Value tensor, llvm::ArrayRef<Expr> place);
  Expr ofConcat(mlir::Value tensor, llvm::ArrayRef<Expr> place);
  Expr ofScatter(linalg_ext::ScatterOp op, llvm::ArrayRef<Expr> place);

  /// What `value`, in the body of an op or outside, is; null where that is not known.
  Expr inScope(mlir::Value value, Scope &scope, llvm::ArrayRef<Expr> loops);
  Expr apply(mlir::Operation *op, llvm::ArrayRef<Expr> operands);
  Expr integerOp(mlir::Operation *op, llvm::ArrayRef<Expr> operands);
  Expr compare(mlir::Operation *op, llvm::ArrayRef<Expr> operands);
  Expr convert(mlir::Operation *op, Expr operand);
  Expr foldNumbers(mlir::Operation *op, llvm::ArrayRef<Expr> operands);
  Expr linear(llvm::ArrayRef<Expr> place, llvm::ArrayRef<Expr> sizes);
  bool isSameSize(Expr a, Expr b) const { return a == b || sameSizes.isEquivalent(a, b); }
  bool movesElements(mlir::linalg::LinalgOp op);

  ElementTable expressions;
  Opens opens;
  /// Sizes of which an op says that they are one.
  llvm::EquivalenceClasses<Expr> sameSizes;
  llvm::DenseMap<Expr, Expr> known; ///< by what reads the element
  llvm::DenseMap<mlir::Value, Expr> scalars;
  llvm::DenseMap<mlir::Operation *, bool> moving;
  llvm::DenseMap<Expr, llvm::SmallVector<Expr, 2>> reads; ///< from which an element was found
};

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_TENSORELEMENTS_H
