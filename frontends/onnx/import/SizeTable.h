// What the unknowns of sizes are in the IR, and sizes as IR.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_SIZETABLE_H
#define MOEC_FRONTENDS_ONNX_IMPORT_SIZETABLE_H

#include "frontends/onnx/import/Size.h"
#include "mlir/IR/Builders.h"

#include <map>
#include <utility>
#include <variant>
#include <vector>

namespace moec {

/// Sizes become values of type index, each once in a region and those in it. What is made goes
/// where the builder stands, so that it must only move forward.
class SizeTable {
public:
  /// While it lives, what is made is of a region that ends with it.
  class Scope {
  public:
    explicit Scope(SizeTable &table) : table(table), depth(table.made.size()) {}
    ~Scope() { table.forget(depth); }
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

  private:
    SizeTable &table;
    size_t depth;
  };

  enum class Operation { Quotient, Remainder, Max, Min, Less, Equal, And, Or, Not, Choice };

  /// How many unknowns there are; later ones have higher numbers.
  size_t count() const { return unknowns.size(); }
  /// A size that `index` has; one that follows from data is at most `bound`, if that is given.
  Size add(mlir::Value index, bool isNegativePossible);
  Size addOfData(mlir::Value index, bool isNegativePossible, std::optional<Size> bound = {});
  mlir::Value indexOf(mlir::OpBuilder &builder, mlir::Location location, const Size &size);

  /// What is no polynomial, of known operands or by an op: quotients towards zero (by 0: 0), and
  /// truth values as 0 and 1; a choice is the second operand where the first is not 0, else the
  /// third.
  Size compute(mlir::OpBuilder &builder, mlir::Location location, Operation operation,
               llvm::ArrayRef<Size> operands);

  /// Whether it is so whatever the unknowns are.
  bool isNonNegative(const Size &size) const;
  /// What follows from no data and is never smaller; `size` itself where that is so; none where
  /// there is no such.
  std::optional<Size> bound(const Size &size) const;
  /// Whether `size` is 1, or 0 where `other` is 0 too: it broadcasts to `other`.
  bool isOneBeside(const Size &size, const Size &other) const;
  bool isPositive(const Size &size) const { return isNonNegative(size - Size(1)); }

private:
  using Call = std::pair<Operation, std::vector<Size>>;
  struct Unknown {
    mlir::Value value;
    bool isNegativePossible;
    bool isOfData = false;
    std::optional<Size> bound = {};
    std::optional<Size> emptyWith = {}; ///< it is 1, or 0 where this is
  };

  static std::optional<int64_t> fold(Operation operation, llvm::ArrayRef<int64_t> operands);
  std::optional<Size> simplify(Operation operation, llvm::ArrayRef<Size> operands) const;
  std::optional<Size> boundOf(Operation operation, llvm::ArrayRef<Size> operands) const;
  void forget(size_t depth);

  std::vector<Unknown> unknowns;
  std::map<Size, mlir::Value> values;
  std::map<Call, Size> calls;
  /// Keys of the two maps in the order in which they were added.
  std::vector<std::variant<Size, Call>> made;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_SIZETABLE_H
