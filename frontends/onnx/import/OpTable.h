// Which operators are imported, in which versions, and what each version takes.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_OPTABLE_H
#define MOEC_FRONTENDS_ONNX_IMPORT_OPTABLE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace moec {

class NodeImport;

/// What an operator takes from operator set `since` on, up to the next of its versions.
struct OpVersion {
  int64_t since;
  /// Names with the kind of each, as in "axis:i axes:is value:t": i integer, f float, s string,
  /// t tensor, g graph; is, fs and ss lists of them.
  std::string_view attributes;
  size_t leastInputs, mostInputs;
  size_t leastOutputs = 1, mostOutputs = 1;
  /// Bit i: input i may be left out, though there are later ones.
  uint32_t optionalInputs = 0;
};

/// As many as one likes.
inline constexpr size_t kAny = SIZE_MAX;

struct OpRule {
  std::string_view domain, name;
  std::vector<OpVersion> versions; ///< ascending
  void (*import)(NodeImport &node);
};

/// The groups of operators, each in its file.
llvm::ArrayRef<OpRule> elementwiseOps();
llvm::ArrayRef<OpRule> activationOps();
llvm::ArrayRef<OpRule> comparisonOps();
llvm::ArrayRef<OpRule> constantOps();
llvm::ArrayRef<OpRule> shapeOps();
llvm::ArrayRef<OpRule> placeOps();
llvm::ArrayRef<OpRule> gatherOps();
llvm::ArrayRef<OpRule> scatterOps();
llvm::ArrayRef<OpRule> selectionOps();
llvm::ArrayRef<OpRule> reductionOps();
llvm::ArrayRef<OpRule> normOps();
llvm::ArrayRef<OpRule> productOps();
llvm::ArrayRef<OpRule> convolutionOps();
llvm::ArrayRef<OpRule> rotaryOps();
llvm::ArrayRef<OpRule> attentionOps();
llvm::ArrayRef<OpRule> quantizationOps();
llvm::ArrayRef<OpRule> expertOps();
llvm::ArrayRef<OpRule> controlFlowOps();

/// Finds rules by operator.
class OpTable {
public:
  OpTable();
  /// Null where the operator is not known.
  const OpRule *find(std::string_view domain, std::string_view name) const;
  /// All, by domain and name.
  std::vector<const OpRule *> all() const;

private:
  llvm::StringMap<const OpRule *> rules; ///< by "domain::name"
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_OPTABLE_H
