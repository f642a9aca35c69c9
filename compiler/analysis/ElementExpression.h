// Elements of tensors as expressions: what a number in a tensor is, whatever ops made it.

#ifndef MOEC_COMPILER_ANALYSIS_ELEMENTEXPRESSION_H
#define MOEC_COMPILER_ANALYSIS_ELEMENTEXPRESSION_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/FoldingSet.h"
#include "llvm/Support/Allocator.h"

#include <optional>
#include <utility>

namespace moec {

class Element;
/// Equal expressions are one object of their table.
using Expr = const Element *;

/// An expression over elements of tensors that are not looked into. Integers of 64 bits and indices
/// are taken for whole numbers: what counts elements of a tensor does not wrap.
class Element : public llvm::FoldingSetNode {
public:
  enum class Kind {
    Number,  ///< `attribute`; integers of any type as indices
    Loop,    ///< the index of loop `level`, which is below operand 0
    Size,    ///< how large `tensor` is along dimension `level`
    Read,    ///< the element of `tensor` at `operands`
    Entry,   ///< which of the places that a `linalg_ext.nonzero` finds, `tensor`, is `operands`
    Product, ///< of integer operands, none of which is a sum or a number
    Total,   ///< of `factors` times `operands`, and the last of `factors`
    Apply,   ///< what `name` makes of `operands`; `attribute` are the op's
    Fold,    ///< operand 1, combined by `name` over loop `level`, which is below operand 0
  };

  Kind kind;
  unsigned level = 0;
  unsigned number = 0; ///< in the order in which the table made them
  uint64_t loops = 0;  ///< the levels of loops that it depends on, as bits
  mlir::Attribute attribute;
  mlir::StringAttr name;
  mlir::Value tensor;
  llvm::ArrayRef<Expr> operands;
  llvm::ArrayRef<int64_t> factors;

  void Profile(llvm::FoldingSetNodeID &id) const;
  bool is(Kind which) const { return kind == which; }
  /// Whether it is `name` of something.
  bool applies(llvm::StringRef which) const { return is(Kind::Apply) && name == which; }
  bool folds(llvm::StringRef which) const { return is(Kind::Fold) && name == which; }
  bool dependsOn(unsigned loop) const { return loops >> loop & 1; }
  std::optional<int64_t> integer() const;
  std::optional<double> real() const;
  bool isZero() const { return integer() == 0 || real() == 0.0; }
};

/// Makes expressions, in normal forms where arithmetic has some.
class ElementTable {
public:
  explicit ElementTable(mlir::MLIRContext *context) : context(context) {}

  Expr number(int64_t value);
  Expr number(mlir::Attribute value);
  Expr boolean(bool value);
  Expr loop(unsigned level, Expr extent);
  Expr size(mlir::Value tensor, unsigned dimension);
  Expr read(mlir::Value tensor, llvm::ArrayRef<Expr> place);
  Expr entry(mlir::Value places, llvm::ArrayRef<Expr> place);
  Expr apply(llvm::StringRef name, llvm::ArrayRef<Expr> operands, mlir::Attribute attributes = {});
  Expr fold(llvm::StringRef name, unsigned level, Expr extent, Expr body);

  // Integers.
  Expr add(Expr a, Expr b) { return combine(a, b, 1); }
  Expr sub(Expr a, Expr b) { return combine(a, b, -1); }
  Expr mul(Expr a, Expr b);
  /// Of what is not negative by what is positive; null where that is not proved.
  Expr quotient(Expr a, Expr by);
  Expr remainder(Expr a, Expr by);
  Expr min(Expr a, Expr b);
  Expr max(Expr a, Expr b);
  /// Whether it is so whatever loops and sizes are.
  bool isNonNegative(Expr e);
  bool isPositive(Expr e) { return isNonNegative(sub(e, number(1))); }
  /// Elements of `tensor` are from 0 to below `bound`.
  void setBound(mlir::Value tensor, Expr bound) { bounds[tensor] = bound; }
  /// `tensor`, a number, is not negative.
  void setNonNegative(mlir::Value tensor) { bounds.try_emplace(tensor, nullptr); }

  // Truth values.
  Expr equal(Expr a, Expr b);
  Expr less(Expr a, Expr b);
  Expr negation(Expr a);
  Expr both(Expr a, Expr b);
  Expr either(Expr a, Expr b) { return negation(both(negation(a), negation(b))); }
  Expr select(Expr condition, Expr yes, Expr no);

  /// Loop `level` replaced; null where a loop in `e` has the level of what replaces it.
  Expr substitute(Expr e, unsigned level, Expr by);

private:
  struct Node {
    Element::Kind kind;
    unsigned level = 0;
    mlir::Attribute attribute = {};
    mlir::StringAttr name = {};
    mlir::Value tensor = {};
    llvm::ArrayRef<Expr> operands = {};
    llvm::ArrayRef<int64_t> factors = {};
  };
  /// Terms by their product, which are no numbers; the number is beside.
  struct Polynomial {
    llvm::SmallVector<std::pair<Expr, int64_t>> terms;
    int64_t constant = 0;
    void add(Expr product, int64_t factor);
  };

  Expr get(Node node);
  Expr combine(Expr a, Expr b, int64_t factor);
  Expr product(llvm::ArrayRef<Expr> factors);
  Polynomial polynomial(Expr e);
  Expr total(Polynomial p);
  std::optional<std::pair<Expr, Expr>> divide(Expr a, Expr by);
  /// What `e`, no sum, is at most; null where that is not known.
  Expr most(Expr e);
  bool isNonNegativeAtom(Expr e);

  mlir::MLIRContext *context;
  llvm::BumpPtrAllocator memory;
  llvm::FoldingSet<Element> elements;
  unsigned count = 0;
  llvm::DenseMap<mlir::Value, Expr> bounds;
};

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_ELEMENTEXPRESSION_H
