// All groups of operators in one table.

#include "frontends/onnx/import/OpTable.h"

#include "llvm/ADT/STLExtras.h"

using namespace moec;

static std::string keyOf(std::string_view domain, std::string_view name) {
  return std::string(domain) + "::" + std::string(name);
}

OpTable::OpTable() {
  for (auto group :
       {elementwiseOps, activationOps, comparisonOps, constantOps, shapeOps, placeOps, gatherOps,
        scatterOps, selectionOps, reductionOps, normOps, productOps, convolutionOps, rotaryOps,
        attentionOps, quantizationOps, expertOps, controlFlowOps})
    for (const OpRule &rule : group())
      rules[keyOf(rule.domain, rule.name)] = &rule;
}

const OpRule *OpTable::find(std::string_view domain, std::string_view name) const {
  return rules.lookup(keyOf(domain, name));
}

std::vector<const OpRule *> OpTable::all() const {
  std::vector<const OpRule *> result;
  for (const auto &entry : rules)
    result.push_back(entry.second);
  llvm::sort(result, [](const OpRule *a, const OpRule *b) {
    return std::pair(a->domain, a->name) < std::pair(b->domain, b->name);
  });
  return result;
}
