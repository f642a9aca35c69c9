// Counts matrices as the manifest lists them: experts by their share, tables by the rows used, the
// head for the rows that ask for logits.

#include "runtime/program/Traffic.h"

#include <algorithm>
#include <cmath>

namespace moec {

static int64_t picksOf(const Manifest &manifest, int64_t layer) {
  for (const ManifestMoeLayer &moe : manifest.moeLayers)
    if (moe.layer == layer)
      return moe.picked;
  return 0;
}

Traffic stepTraffic(const Manifest &manifest, int64_t tokens, int64_t depth, int64_t sequences) {
  double rows = static_cast<double>(tokens);
  Traffic traffic;
  for (const ManifestPiece &piece : manifest.weights.pieces) {
    double matrices = static_cast<double>(std::max<size_t>(piece.layers.size(), 1));
    if (piece.areHeads)
      matrices *= static_cast<double>(piece.matricesPerLayer);
    double bytes = static_cast<double>(piece.matrixBytes), operations = 0;
    if (piece.isMultiplied)
      operations = 2 * static_cast<double>(piece.shape[0]) * static_cast<double>(piece.shape[1]);
    if (piece.matricesPerLayer > 0 && !piece.areHeads) {
      double experts = static_cast<double>(piece.matricesPerLayer);
      for (int64_t layer : piece.layers) {
        double picked =
            static_cast<double>(std::min(picksOf(manifest, layer), piece.matricesPerLayer));
        double touched = experts * (1 - std::pow(1 - picked / experts, rows));
        traffic.bytes += bytes * touched;
        traffic.operations += operations * picked * rows;
      }
    } else if (piece.shape.size() == 2 && !piece.isMultiplied) { // a table: a row per token
      traffic.bytes += bytes * std::min(1.0, rows / static_cast<double>(piece.shape[0]));
    } else {
      bool isHead = piece.layers.empty() && piece.shape[0] == manifest.vocabulary;
      traffic.bytes += bytes * matrices;
      traffic.operations +=
          operations * matrices * (isHead ? static_cast<double>(sequences) : rows);
    }
  }
  for (const ManifestCache &cache : manifest.caches) {
    int64_t seen = cache.mostSeen(depth);
    if (cache.chosen > 0) // by each row for itself
      seen = std::min(seen, cache.chosen * ((tokens + sequences - 1) / sequences));
    traffic.bytes += static_cast<double>(cache.bytesPerBlock) /
                     static_cast<double>(manifest.blockTokens) *
                     static_cast<double>(seen * sequences);
  }
  return traffic;
}

} // namespace moec
