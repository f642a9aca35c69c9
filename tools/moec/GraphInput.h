// A graph of tensors as what a compile starts with: a module, and where its weights lie.

#ifndef MOEC_TOOLS_MOEC_GRAPHINPUT_H
#define MOEC_TOOLS_MOEC_GRAPHINPUT_H

#include "compiler/emit/ScratchFile.h"
#include "frontends/checkpoint/Checkpoint.h"
#include "tools/moec/Compile.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>

namespace moec {

struct GraphInput {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  Checkpoint tensors; ///< that the module reads
  /// Holds those that lie in no file of the model; must be kept as long as they are read.
  std::optional<ScratchFile> decoded;
  std::vector<std::string> notices;
};

/// The tensors of a graph that is given as a module.
Result<Checkpoint> openGraphTensors(const CompileRequest &request);

/// Reads and imports the model that `request` names; refuses options that are not for graphs.
Result<GraphInput> openOnnx(const CompileRequest &request, mlir::MLIRContext &context);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_GRAPHINPUT_H
