// A walk over all graphs, whose nesting the reader has bounded.

#include "frontends/onnx/OnnxSummary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>

using namespace moec;

namespace {

class Counter {
public:
  void count(const OnnxGraph &graph) {
    ++summary.graphs;
    summary.initializers += graph.initializers.size();
    for (const OnnxInitializer &initializer : graph.initializers)
      count(initializer.tensor);
    for (const OnnxNode &node : graph.nodes) {
      ++summary.nodes;
      ++ops[{node.domain, node.op}];
      for (const OnnxAttribute &attribute : node.attributes)
        if (const auto *inner = std::get_if<std::unique_ptr<OnnxGraph>>(&attribute.value))
          count(**inner);
        else if (const auto *tensor =
                     std::get_if<std::shared_ptr<const OnnxTensor>>(&attribute.value))
          if (shared.insert(tensor->get()).second) // calls of a function share it
            count(**tensor);
    }
  }

  OnnxSummary finish(size_t mostLargest) {
    for (const auto &[op, nodes] : ops)
      summary.ops.push_back({op.first, op.second, nodes});
    for (const auto &[type, count] : types)
      summary.types.push_back(count);
    std::sort(tensors.begin(), tensors.end(), [](const OnnxTensor *a, const OnnxTensor *b) {
      return a->bytes != b->bytes ? a->bytes > b->bytes : a->name < b->name;
    });
    tensors.resize(std::min(tensors.size(), mostLargest));
    summary.largest = std::move(tensors);
    return std::move(summary);
  }

private:
  void count(const OnnxTensor &tensor) {
    OnnxTypeCount &type = types[tensor.type];
    type.type = tensor.type;
    ++type.tensors;
    const bool isExternal = tensor.file != kAbsent && tensor.file != 0;
    (isExternal ? type.externalBytes : type.inlineBytes) += tensor.bytes;
    for (const std::string &text : tensor.strings)
      type.inlineBytes += text.size();
    if (!tensor.name.empty())
      tensors.push_back(&tensor);
  }

  OnnxSummary summary;
  std::map<std::pair<std::string_view, std::string_view>, size_t> ops;
  std::map<ElementType, OnnxTypeCount> types;
  std::vector<const OnnxTensor *> tensors;
  std::unordered_set<const OnnxTensor *> shared;
};

} // namespace

OnnxSummary moec::summarize(const OnnxModel &model, size_t mostLargest) {
  Counter counter;
  counter.count(model.graph);
  return counter.finish(mostLargest);
}

std::string moec::typeText(const OnnxType &type) {
  std::string text(elementTypeName(type.element));
  if (!type.shape)
    return text;
  text += " [";
  for (const OnnxDim &dim : *type.shape) {
    if (&dim != type.shape->data())
      text += ", ";
    text += dim.size >= 0        ? std::to_string(dim.size)
            : dim.symbol.empty() ? std::string("?")
                                 : shownName(dim.symbol);
  }
  return text + "]";
}
