// Runs the compiler's stages over a module: dumps, diagnostics and reproducers.

#ifndef MOEC_TOOLS_MOEC_STAGERUNNER_H
#define MOEC_TOOLS_MOEC_STAGERUNNER_H

#include "compiler/pipeline/Stages.h"

#include "mlir/IR/Diagnostics.h"

#include <string>
#include <vector>

namespace moec {

/// Collects what passes and verifiers say while it lives.
class DiagnosticLog {
public:
  explicit DiagnosticLog(mlir::MLIRContext &context);

  bool hasErrors() const { return !errorText.empty(); }
  /// What was wrong, a line per note; `otherwise` if nothing was said.
  std::string errors(std::string_view otherwise) const;
  /// What passes remarked, one line each.
  const std::vector<std::string> &remarks() const { return remarkLines; }

private:
  std::string errorText;
  std::vector<std::string> remarkLines;
  mlir::ScopedDiagnosticHandler handler;
};

class StageRunner {
public:
  /// `dumpFolder` may be empty; a reproducer of a failure is left under `reproducer`.
  StageRunner(mlir::MLIRContext &context, std::string dumpFolder, std::string reproducer);

  /// Makes the folder of the dumps.
  Status prepare();
  /// Runs a stage. What a pass refuses is Code::Unsupported; a
  /// pass that fails without a word is our own fault. Either leaves a reproducer. `variant` tells
  /// the dumps of several modules of a stage apart.
  Status run(mlir::ModuleOp module, const Stage &stage, const PipelineOptions &options,
             std::string_view variant = {});
  /// Writes what is printed into the dump folder as the next file; prints nothing if there is none.
  Status dump(const std::string &name, llvm::function_ref<std::string()> print);
  /// What all stages so far remarked.
  const std::vector<std::string> &remarks() const { return log.remarks(); }
  /// The log, for what happens between stages.
  const DiagnosticLog &diagnostics() const { return log; }

private:
  mlir::MLIRContext &context;
  std::string dumpFolder;
  std::string reproducer;
  DiagnosticLog log;
  int dumps = 0;
};

/// The stage that `module` was left in, or "" for one that has come through none.
std::string stageOf(mlir::ModuleOp module);

/// The module as text that moec and moe-opt read.
std::string printModule(mlir::ModuleOp module);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_STAGERUNNER_H
