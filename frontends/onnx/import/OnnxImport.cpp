// An import: dialects, the module, its graph, and a check of what came out.

#include "frontends/onnx/import/OnnxImport.h"

#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"
#include "frontends/onnx/import/GraphImporter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"

using namespace mlir;
using namespace moec;

Result<OnnxImport> moec::importOnnx(const OnnxModel &model, MLIRContext &context,
                                    const std::string &name) {
  context
      .loadDialect<arith::ArithDialect, bufferization::BufferizationDialect, cf::ControlFlowDialect,
                   func::FuncDialect, linalg::LinalgDialect, linalg_ext::LinalgExtDialect,
                   lm::LmDialect, math::MathDialect, memref::MemRefDialect, moe::MoeDialect,
                   scf::SCFDialect, tensor::TensorDialect>();
  OnnxImport import;
  import.module = ModuleOp::create(NameLoc::get(StringAttr::get(&context, name)), name);
  import.notices = model.notices;
  for (const OnnxInput &input : model.graph.inputs)
    if (input.preset != kAbsent && model.irVersion >= 4)
      import.notices.push_back(fmt::format("input '{}' keeps the value that the model has for it",
                                           shownName(input.name)));
  GraphImporter importer(model, *import.module, import.sources);
  if (Status status = importer.importModel(); !status.ok())
    return status;
  if (failed(verify(*import.module)))
    return Status{Code::Internal, "the imported graph is not valid; please report the model"};
  return import;
}
