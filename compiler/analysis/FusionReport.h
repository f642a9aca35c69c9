// What the optimize stage fused, what it did not, and the phases that came of it.

#ifndef MOEC_COMPILER_ANALYSIS_FUSIONREPORT_H
#define MOEC_COMPILER_ANALYSIS_FUSIONREPORT_H

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace moec {

/// The attribute of a choice that says why the layer of experts behind it was not raised.
inline constexpr llvm::StringLiteral kNotRaisedAttr = "moec.not_raised";

/// An op that fusion made, or one that it left.
struct FusionEntry {
  std::string function; ///< that it is in: one per kind of layer
  std::string op;       ///< "moe.expert_ffn"
  std::string detail;   ///< what it holds, or what it should have become
  bool fused = false;
  mlir::Location location;
  std::vector<std::string> phases; ///< in the order of the step; empty before the schedule stage
};

/// Facts about one module.
struct FusionReport {
  std::vector<FusionEntry> entries;

  /// Whether an op was left that a fusion is for.
  bool hasFallback() const;
  /// One line per entry, then the `remarks` of passes.
  std::string text(const std::vector<std::string> &remarks) const;
  /// Takes the phases that each entry became from a scheduled module.
  void addPhases(mlir::ModuleOp scheduled);
};

/// The report on a module that the optimize stage left.
FusionReport reportFusions(mlir::ModuleOp optimized);

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_FUSIONREPORT_H
