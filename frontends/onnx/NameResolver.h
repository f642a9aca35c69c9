// Makes values of the names that a model is written with, and inlines its functions.

#ifndef MOEC_FRONTENDS_ONNX_NAMERESOLVER_H
#define MOEC_FRONTENDS_ONNX_NAMERESOLVER_H

#include "frontends/onnx/FunctionTable.h"
#include "frontends/onnx/OnnxModel.h"
#include "runtime/core/Result.h"

#include <span>
#include <string>
#include <vector>

namespace moec {

/// Takes a model as MessageReader leaves it. Every name is defined once in its graph, before it is
/// read, or in a graph around it; the body of a function sees the function's inputs alone. Time is
/// linear in what the file has and what its functions expand to.
class NameResolver {
public:
  NameResolver(OnnxModel &model, FunctionTable functions)
      : model(model), functions(std::move(functions)) {}

  Status resolve();

private:
  /// What a name stands for where we are.
  struct Binding {
    uint32_t value = kAbsent;
    uint32_t scope = 0;      ///< where it is defined; 0: nowhere
    uint32_t capturedBy = 0; ///< the scope that has read it last of those that do not define it
  };
  struct Definition {
    uint32_t name;
    uint32_t hiddenValue, hiddenScope; ///< what the name stood for before
  };
  struct Capture {
    uint32_t name, value;
    uint32_t capturedBefore;
  };
  /// A graph, or the body of a function. Scopes are numbered in the order in which they begin.
  struct Scope {
    uint32_t number = 0;
    uint32_t outermost = 0; ///< of those whose names it sees
    uint32_t call = kAbsent;
    std::span<const OnnxOperatorSet> operatorSets;
    std::vector<Definition> definitions;
    std::vector<Capture> captures;
  };

  Status resolveGraph(OnnxGraph &graph, Scope &scope);
  Status resolveInnerGraph(OnnxGraph &graph, Scope &outer);
  Status defineInputs(OnnxGraph &graph, Scope &scope);
  Status resolveNodes(std::vector<OnnxNode> &nodes, Scope &scope);
  Status resolveNode(std::span<OnnxNode> nodeAndLater, Scope &scope, std::vector<OnnxNode> &out);
  Status inlineCall(uint32_t function, const OnnxNode &node, Scope &scope,
                    std::vector<OnnxNode> &out);
  Status checkMainGraph() const;

  Scope newScope(uint32_t call, std::span<const OnnxOperatorSet> operatorSets);
  bool isDefined(uint32_t name, const Scope &scope) const {
    return bindings[name].scope >= scope.outermost;
  }
  /// The value of a name that is defined.
  uint32_t read(uint32_t name, Scope &scope);
  Status define(uint32_t name, uint32_t value, Scope &scope);
  Result<uint32_t> defineNew(uint32_t name, Scope &scope);
  /// Brings back what names stood for before the scope.
  void leave(Scope &scope, Scope *outer);
  Status refuseUndefined(uint32_t name, std::span<const OnnxNode> nodeAndLater) const;

  OnnxModel &model;
  FunctionTable functions;
  std::vector<Binding> bindings; ///< by the number of the name
  uint32_t lastScope = 0;
  int depth = 0; ///< of calls and graphs in each other
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_NAMERESOLVER_H
