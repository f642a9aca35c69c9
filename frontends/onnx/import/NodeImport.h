// One node while it is imported: its inputs, attributes and results, and what is wrong with it.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_NODEIMPORT_H
#define MOEC_FRONTENDS_ONNX_IMPORT_NODEIMPORT_H

#include "frontends/onnx/import/OpTable.h"
#include "frontends/onnx/import/TensorBuilder.h"
#include "runtime/core/Result.h"

#include <fmt/format.h>

#include <deque>

namespace moec {

class GraphImporter;

/// Given to the import of an operator once number of inputs, of outputs and kinds of attributes are
/// those of its version. The first failure is kept; results of a node that failed do not matter.
class NodeImport {
public:
  NodeImport(GraphImporter &importer, TensorBuilder &tensors, const OnnxModel &model,
             const OnnxNode &node, const OpVersion &version)
      : tensors(tensors), model(model), node(node), importer(importer), rules(version),
        results(node.outputs.size()) {}

  /// Checks what the table says; none of the rest is to be called where that fails.
  void check();

  TensorBuilder &build() { return tensors; }
  int64_t since() const { return rules.since; }

  size_t inputCount() const { return node.inputs.size(); }
  bool has(size_t input) const {
    return input < node.inputs.size() && node.inputs[input] != kAbsent;
  }
  /// One that is there.
  const GraphValue &input(size_t place);
  std::vector<GraphValue> inputs();
  bool wants(size_t output) const {
    return output < node.outputs.size() && node.outputs[output] != kAbsent;
  }
  size_t outputCount() const { return node.outputs.size(); }
  void result(GraphValue value, size_t output = 0) { results[output] = std::move(value); }
  const std::vector<std::optional<GraphValue>> &made() const { return results; }

  bool hasAttribute(std::string_view name) const { return node.find(name) != nullptr; }
  int64_t integer(std::string_view name, int64_t otherwise) const;
  float real(std::string_view name, float otherwise) const;
  std::string text(std::string_view name, std::string_view otherwise) const;
  std::optional<std::vector<int64_t>> integers(std::string_view name) const;
  const std::vector<float> *reals(std::string_view name) const;
  const OnnxTensor *tensor(std::string_view name) const;
  const OnnxGraph *graph(std::string_view name) const;

  /// Numbers of an input that sizes are made of; none, with a failure, where they cannot be.
  std::optional<llvm::SmallVector<Size, 1>> numbers(size_t input, std::string_view what);
  /// The same, where they must be known when the graph is imported.
  std::optional<std::vector<int64_t>> knownNumbers(size_t input, std::string_view what);
  /// `dim` counted from the front; 0, with a failure, where there is no such.
  int64_t dim(int64_t dim, int64_t rank, std::string_view what = "axis");
  /// Each likewise; also fails where one occurs twice. Sorted.
  llvm::SmallVector<int64_t> dims(llvm::ArrayRef<int64_t> dims, int64_t rank,
                                  std::string_view what = "axes");
  /// The shape that inputs broadcast to; fails where they do not suit.
  Sizes broadcastShape(TensorBuilder::Values values);
  /// Fails where two values are not of the same element type.
  void requireSameElement(TensorBuilder::Values values);
  void requireRank(const GraphValue &value, int64_t least, int64_t most, std::string_view what);
  void requireFloat(const GraphValue &value, std::string_view what);
  /// Fails where sizes are known to differ; where they may, the program checks.
  void requireEqual(const Size &a, const Size &b, std::string_view what);

  template <typename... Arguments>
  void malformed(fmt::format_string<Arguments...> format, Arguments &&...arguments) {
    fail(Code::Model, fmt::format(format, std::forward<Arguments>(arguments)...));
  }
  template <typename... Arguments>
  void unsupported(fmt::format_string<Arguments...> format, Arguments &&...arguments) {
    fail(Code::Unsupported, fmt::format(format, std::forward<Arguments>(arguments)...));
  }
  bool failed() const { return !failure.ok(); }
  const Status &status() const { return failure; }
  /// A failure that names a node already.
  void keep(Status status) {
    if (failure.ok())
      failure = std::move(status);
  }

  GraphImporter &owner() { return importer; }
  const OnnxModel &onnx() const { return model; }
  const OnnxNode &source() const { return node; }

private:
  void fail(Code code, const std::string &what);
  void checkAttributes();

  TensorBuilder &tensors;
  const OnnxModel &model;
  const OnnxNode &node;
  GraphImporter &importer;
  const OpVersion &rules;
  std::vector<std::optional<GraphValue>> results;
  Status failure;
};

/// The product of stacks of matrices, of which vectors are rows or columns; narrow floats become
/// f32. Fails where shapes do not suit.
GraphValue matmul(NodeImport &node, GraphValue a, GraphValue b);

/// "node 'x' (Softmax, version 13)".
std::string describeNode(const OnnxModel &model, const OnnxNode &node);

/// "tokens x 40", with "?" for what is not known.
std::string shapeText(llvm::ArrayRef<Size> shape);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_NODEIMPORT_H
