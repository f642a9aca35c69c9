// Declares caches.

#include "frontends/models/CacheTable.h"

#include <fmt/format.h>

#include <algorithm>

using namespace mlir;
using namespace moec;

/// Positions per block of the cache.
static constexpr int64_t kCacheBlock = 128;

/// "attention" for what sees all positions, else followed by what it sees.
static std::string symbolOf(const CacheKind &kind) {
  if (kind.window > 0)
    return fmt::format("{}_window_{}", kind.symbol, kind.window);
  return kind.chunk > 0 ? fmt::format("{}_chunk_{}", kind.symbol, kind.chunk)
                        : std::string(kind.symbol);
}

lm::CacheOp CacheTable::declare(const CacheKind &kind, ArrayRef<int64_t> layers, StringRef name) {
  auto known = llvm::find_if(declared, [&](const auto &entry) { return entry.first == kind; });
  if (known == declared.end()) {
    auto cache = lm::CacheOp::create(symbols, NameLoc::get(symbols.getStringAttr(name)),
                                     symbolOf(kind), layers, kind.heads, kind.size,
                                     kind.values == kind.size && !kind.latent
                                         ? IntegerAttr()
                                         : symbols.getI64IntegerAttr(kind.values),
                                     kind.latent, kind.indexed, /*rows=*/false, kCacheBlock,
                                     kind.window, kind.chunk, symbols.getF32Type());
    declared.emplace_back(kind, cache);
    return cache;
  }
  lm::CacheOp cache = known->second;
  SmallVector<int64_t> all(cache.getLayers());
  for (int64_t layer : layers)
    if (!llvm::is_contained(all, layer))
      all.push_back(layer);
  llvm::sort(all);
  cache.setLayers(all);
  return cache;
}
