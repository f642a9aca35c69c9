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
  /// Whether `weight` is loaded, and this load used by one op.
  static bool isUsedOnce(mlir::Value weight);
  /// In how many places of the module `weight`, which is loaded, is.
  size_t countLoads(mlir::Value weight) const { return counts.lookup(loadOf(weight).getWeight()); }
  /// Whether both are loaded of the same layers.
  bool areOfSameLayers(mlir::Value a, mlir::Value b) const;

  /// Makes one weight of `shape` and `pieces` out of `weights`, which are loaded, each in equally
  /// many places, of the same layers and element type. Their symbols are gone then; all their loads
  /// are the caller's to erase, with the ops that used them.
  lm::WeightOp join(mlir::ArrayRef<mlir::Value> weights, mlir::ArrayRef<int64_t> shape,
                    mlir::ArrayRef<mlir::Attribute> pieces);
  /// Loads `weight` at the builder's place, for the layer and with the location of `former`'s load.
  static mlir::Value loadLike(mlir::Value former, lm::WeightOp weight, mlir::OpBuilder &builder);

private:
  mlir::ModuleOp module;
  llvm::StringMap<size_t> counts; // loads of each symbol
};

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_WEIGHTLOADS_H
