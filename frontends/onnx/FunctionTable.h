// The functions of a model: found by what calls them, and copied for each call.

#ifndef MOEC_FRONTENDS_ONNX_FUNCTIONTABLE_H
#define MOEC_FRONTENDS_ONNX_FUNCTIONTABLE_H

#include "frontends/onnx/MessageReader.h"
#include "frontends/onnx/OnnxModel.h"
#include "runtime/core/Result.h"

#include <map>
#include <optional>
#include <tuple>
#include <vector>

namespace moec {

class FunctionTable {
public:
  /// At most `mostItems` nodes, values and attributes are copied for all calls.
  FunctionTable(std::vector<OnnxFunction> functions, size_t mostItems)
      : functions(std::move(functions)), mostItems(mostItems) {}

  /// Fails where two functions are of one name, or functions call each other in a circle. Comes
  /// before all else.
  Status check();

  const std::vector<OnnxFunction> &all() const { return functions; }
  /// The function that a node calls, if it calls one.
  std::optional<uint32_t> find(const OnnxNode &node) const;
  /// The body of a function, for the call `node`, which gives values to what its attributes refer
  /// to.
  Result<std::vector<OnnxNode>> copyBody(uint32_t function, const OnnxNode &node);

private:
  struct Call {
    const OnnxFunction &function;
    const OnnxNode &node;
  };

  Status copyNode(const Call &call, const OnnxNode &from, OnnxNode &to);
  Status copyGraph(const Call &call, const OnnxGraph &from, OnnxGraph &to);
  Status copyAttribute(const Call &call, const OnnxAttribute &from, OnnxNode &to);
  void addCallees(const std::vector<OnnxNode> &nodes, std::vector<uint32_t> &callees) const;
  Status checkCircles() const;
  Status count(size_t more);

  std::vector<OnnxFunction> functions;
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, uint32_t> byName;
  size_t mostItems, items = 0;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_FUNCTIONTABLE_H
