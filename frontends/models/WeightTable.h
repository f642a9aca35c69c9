// The weights of a model under construction: a symbol each, checked against the checkpoint's
// headers.

#ifndef MOEC_FRONTENDS_MODELS_WEIGHTTABLE_H
#define MOEC_FRONTENDS_MODELS_WEIGHTTABLE_H

#include "dialects/lm/LmDialect.h"
#include "frontends/checkpoint/TensorClaims.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringMap.h"

namespace moec {

/// Rows of a stored tensor that make up a weight; see lm.piece.
struct TensorRows {
  std::string pattern;  ///< of the tensor's name; `{l}` stands for the layer, `{e}` for the expert.
                        ///< Of MXFP4 without what its parts' names end in
  int64_t firstRow = 0; ///< of the weight in the tensor, or in an expert's part of it
  int64_t rowsPerExpert =
      0;                   ///< in a tensor that stacks all experts; 0: a tensor per expert, or none
  int64_t rowStep = 1;     ///< from one row of the weight to the next
  bool transposed = false; ///< rows of the weight are columns of the tensor
  std::vector<int64_t> shape = {}; ///< of each tensor; empty: as the weight's and the above have it
};

/// A weight of one layer, of several, or of none.
struct Weight {
  std::string symbol;
  std::vector<int64_t> shape; ///< experts first, where it has them
  TensorRows source;
  bool areHeads = false; ///< the first of three extents counts heads, of which tokens use all, not
                         ///< experts
  bool areVectors = false; ///< each expert or head has a vector, not a matrix of one column
};

/// Declares an `lm.weight` the first time that one is asked for, and checks every tensor that it
/// stands for. Keeps the first failure; after that all weights are declared as if they were f32.
class WeightTable {
public:
  /// Declares where `symbols` inserts.
  WeightTable(const Checkpoint &checkpoint, QuantizationConfig quantization,
              mlir::OpBuilder symbols);

  /// Declares `weight` for these layers (none: it belongs to no layer), in addition to those it is
  /// declared for. Gives its type.
  lm::WeightType declare(const Weight &weight, llvm::ArrayRef<int64_t> layers);
  /// Whether the checkpoint has the tensor of `pattern` for the first of these layers and experts.
  bool has(const std::string &pattern, llvm::ArrayRef<int64_t> layers) const;
  /// Names that match are no weights of the model; `*` stands for any characters. How many there
  /// are.
  size_t skip(std::string_view pattern) { return claims.skip(pattern); }
  /// The first failure; else an error if a tensor of the checkpoint was neither declared nor
  /// skipped, of whose name `explain` may say more.
  Status finish(const std::function<std::string(std::string_view)> &explain) const;

  /// How many of an expert layer's experts a token uses; said before the first of them is declared.
  void setPicked(int64_t count) { picked = count; }
  /// Numbers in all weights, and in those that a token uses.
  uint64_t parameters() const { return total; }
  uint64_t activeParameters() const { return active; }

private:
  /// The weight's source, of which the rows of MXFP4 are never transposed.
  TensorRows sourceOf(const Weight &weight, llvm::ArrayRef<int64_t> layers) const;
  /// How the tensors that `weight` stands for in these layers are stored.
  StoredFamily claim(const Weight &weight, llvm::ArrayRef<int64_t> layers);
  void count(const Weight &weight, llvm::ArrayRef<int64_t> layers);

  std::string directory; ///< for messages
  TensorClaims claims;
  mlir::OpBuilder symbols;
  struct Declared {
    lm::WeightOp op;
    StoredFamily stored;
  };
  llvm::StringMap<Declared> declared;
  Status failure;
  int64_t picked = 0;
  uint64_t total = 0, active = 0;
};

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_WEIGHTTABLE_H
