// The caches of a model under construction: one per group of layers whose keys and values are of
// one kind.

#ifndef MOEC_FRONTENDS_MODELS_CACHETABLE_H
#define MOEC_FRONTENDS_MODELS_CACHETABLE_H

#include "dialects/lm/LmDialect.h"
#include "mlir/IR/Builders.h"

#include <string_view>
#include <vector>

namespace moec {

/// What the layers of a cache have in common; see lm.cache.
struct CacheKind {
  int64_t heads, size, values; ///< sizes of a head's key and value
  bool latent = false;         ///< values are the first entries of keys
  bool indexed = false;        ///< single positions are read
  int64_t window = 0, chunk = 0;
  std::string_view symbol = "attention"; ///< what its symbol begins with

  bool operator==(const CacheKind &) const = default;
};

/// Declares an `lm.cache` the first time that one of its kind is asked for.
class CacheTable {
public:
  /// Declares where `symbols` inserts.
  explicit CacheTable(mlir::OpBuilder symbols) : symbols(symbols) {}

  /// The cache of that kind, for these layers in addition to those that it has. `name` is the part
  /// of a layer that it belongs to.
  lm::CacheOp declare(const CacheKind &kind, llvm::ArrayRef<int64_t> layers, llvm::StringRef name);

private:
  mlir::OpBuilder symbols;
  std::vector<std::pair<CacheKind, lm::CacheOp>> declared;
};

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_CACHETABLE_H
