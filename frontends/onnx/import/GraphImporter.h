// Walks graphs and imports their nodes, those of branches and loops too.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_GRAPHIMPORTER_H
#define MOEC_FRONTENDS_ONNX_IMPORT_GRAPHIMPORTER_H

#include "frontends/onnx/import/NodeImport.h"
#include "frontends/onnx/import/OnnxImport.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"

#include <map>

namespace moec {

class GraphImporter {
public:
  GraphImporter(const OnnxModel &model, mlir::ModuleOp module, std::vector<OnnxSource> &sources);

  /// Makes the function of the model's own graph, and notes in the module what it is called by.
  Status importModel();
  /// Imports the nodes of a graph where the builder stands; its inputs are defined already.
  Status importNodes(const OnnxGraph &graph);

  TensorBuilder &build() { return tensors; }
  const OnnxModel &onnx() const { return model; }
  bool isDefined(uint32_t id) const { return values[id].has_value(); }
  const GraphValue &value(uint32_t id) const { return *values[id]; }
  void define(uint32_t id, GraphValue value) { values[id] = std::move(value); }
  /// A stored tensor; its numbers are known where it is small.
  Result<GraphValue> constant(const OnnxTensor &tensor, const std::string &name);

private:
  Status importInputs();
  Status importOutputs();
  Status importNode(const OnnxNode &node);
  Result<GraphValue> importInput(const OnnxInput &input);
  mlir::Value loadConstant(const OnnxTensor &tensor);
  Size dimension(const std::string &name);
  mlir::Attribute describe(const std::string &name, ElementType element,
                           llvm::ArrayRef<Size> shape);

  const OnnxModel &model;
  mlir::ModuleOp module;
  std::vector<OnnxSource> &sources;
  OpTable table;
  TensorBuilder tensors;
  mlir::Value batch;
  std::vector<std::optional<GraphValue>> values;
  llvm::DenseMap<const OnnxTensor *, std::string> names; ///< of stored tensors
  llvm::DenseMap<const OnnxTensor *, std::string> symbols;
  std::map<std::string, unsigned> sourceNames; ///< how often each was wanted
  std::map<std::string, Size> dimensions;
  llvm::DenseMap<uint32_t, std::string> dimensionNames; ///< by their unknowns
  llvm::SmallVector<mlir::Attribute> inputs, outputs;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_GRAPHIMPORTER_H
