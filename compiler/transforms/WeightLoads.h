// The weights of a module and where they are loaded, for passes that make one weight of several.

#ifndef MOEC_COMPILER_TRANSFORMS_WEIGHTLOADS_H
#define MOEC_COMPILER_TRANSFORMS_WEIGHTLOADS_H

#include "dialects/lm/LmDialect.h"

#include "llvm/ADT/StringMap.h"

namespace moec {

class WeightLoads {
public:
  explicit WeightLoads(mlir::ModuleOp module);

  /// The op that loads `weight`; null where it comes from elsewhere.
  static lm::LoadWeightOp loadOf(mlir::Value weight) {
    return weight.getDefiningOp<lm::LoadWeightOp>();
  }
  /// The symbol that a loaded `weight` is of.
  lm::WeightOp symbolOf(mlir::Value weight) const {
    return mlir::ModuleOp(module).lookupSymbol<lm::WeightOp>(loadOf(weight).getWeight());
  }
  /// Whether `weight` is loaded, in one place of the module, and used by one op.
  bool isOwn(mlir::Value weight) const;
  /// Whether both are loaded of the same layers.
  bool areOfSameLayers(mlir::Value a, mlir::Value b) const;

  /// Makes one weight of `shape` and `pieces` out of `weights`, all of them own, of the same layers
  /// and element type, and returns its load. Their symbols are gone then; their loads are
  /// the caller's to erase, with the ops that used them.
  mlir::Value join(mlir::ArrayRef<mlir::Value> weights, mlir::ArrayRef<int64_t> shape,
                   mlir::ArrayRef<mlir::Attribute> pieces, mlir::OpBuilder &builder);

private:
  mlir::ModuleOp module;
  llvm::StringMap<int> counts; // loads of each symbol
};

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_WEIGHTLOADS_H
