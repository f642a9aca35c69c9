// Counts matrices as the manifest lists them: experts by their share, the vocabulary's by the rows
// used.

#include "runtime/program/Traffic.h"

#include "runtime/core/Safetensors.h"

#include <algorithm>
#include <cmath>

namespace moec {

namespace {

struct Piece {
  double elements = 0; // of one matrix
  double matrices = 1; // layers
  double storedBytes = 0;
  bool isMatrix = false;
  bool isVocabulary = false;
};

Piece measure(const ManifestPiece &piece, const Manifest &manifest) {
  Piece measured;
  measured.elements = 1;
  for (int64_t size : piece.shape)
    measured.elements *= static_cast<double>(size);
  measured.matrices = static_cast<double>(std::max<size_t>(piece.layers.size(), 1));
  measured.isMatrix = piece.shape.size() == 2;
  measured.isVocabulary = measured.isMatrix && piece.layers.empty() && piece.experts == 0 &&
                          piece.shape[0] == manifest.vocabulary;
  std::optional<DataType> type = parseDataType(piece.stored);
  measured.storedBytes = type ? static_cast<double>(dataTypeBits(*type)) / 8 : 4;
  return measured;
}

int64_t picksOf(const Manifest &manifest, int64_t layer) {
  for (const ManifestMoeLayer &moe : manifest.moeLayers)
    if (moe.layer == layer)
      return moe.picked;
  return 0;
}

} // namespace

Traffic stepTraffic(const Manifest &manifest, int64_t tokens, int64_t depth, int64_t sequences) {
  double allStored = 0;
  int vocabularies = 0;
  for (const ManifestPiece &piece : manifest.weights.pieces) {
    Piece measured = measure(piece, manifest);
    double elements = measured.elements * measured.matrices *
                      static_cast<double>(std::max<int64_t>(piece.experts, 1));
    allStored += elements * measured.storedBytes;
    vocabularies += measured.isVocabulary;
  }
  // Packed elements may be narrower or wider than stored ones, by the same factor on the whole.
  double scale = manifest.weights.bytes && allStored > 0
                     ? static_cast<double>(manifest.weights.bytes) / allStored
                     : 1;
  double rows = static_cast<double>(tokens);
  Traffic traffic;
  bool embeddingSeen = false;
  for (const ManifestPiece &piece : manifest.weights.pieces) {
    Piece measured = measure(piece, manifest);
    double bytes = measured.elements * measured.storedBytes * scale;
    double operations = measured.isMatrix ? 2 * measured.elements : 0;
    if (measured.isVocabulary) {
      // Two such matrices are embedding and head; one is both. The embedding gives a row per token.
      bool isEmbedding = vocabularies > 1 && !embeddingSeen;
      embeddingSeen = true;
      double share =
          isEmbedding ? std::min(1.0, rows / static_cast<double>(manifest.vocabulary)) : 1;
      traffic.bytes += bytes * share;
      traffic.operations += isEmbedding ? 0 : operations * static_cast<double>(sequences);
    } else if (piece.experts > 0) {
      double experts = static_cast<double>(piece.experts);
      for (int64_t layer : piece.layers) {
        double picked = static_cast<double>(std::min(picksOf(manifest, layer), piece.experts));
        double touched = experts * (1 - std::pow(1 - picked / experts, rows));
        traffic.bytes += bytes * touched;
        traffic.operations += operations * picked * rows;
      }
    } else {
      traffic.bytes += bytes * measured.matrices;
      traffic.operations += operations * measured.matrices * rows;
    }
  }
  for (const ManifestCache &cache : manifest.caches) {
    int64_t seen = cache.window ? std::min(depth, cache.window) : depth;
    traffic.bytes += static_cast<double>(cache.bytesPerBlock) /
                     static_cast<double>(manifest.blockTokens) *
                     static_cast<double>(seen * sequences);
  }
  return traffic;
}

} // namespace moec
