// From an ONNX model to a module: the graph as tensor ops, its weights as symbols.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_ONNXIMPORT_H
#define MOEC_FRONTENDS_ONNX_IMPORT_ONNXIMPORT_H

#include "frontends/onnx/OnnxModel.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "runtime/core/Result.h"

#include <string>
#include <vector>

namespace moec {

/// A stored tensor that the module reads, by the name that its `lm.tensor` has as source.
struct OnnxSource {
  std::string name;
  const OnnxTensor *tensor = nullptr; ///< of the model
};

struct OnnxImport {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::vector<OnnxSource> sources; ///< in the order of their symbols
  std::vector<std::string> notices;
};

/// Imports a model, which must outlive the result, as a module called `name`. Failures name the
/// node and its operator.
Result<OnnxImport> importOnnx(const OnnxModel &model, mlir::MLIRContext &context,
                              const std::string &name);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_ONNXIMPORT_H
