// Expands patterns, and counts blocks of scales.

#include "compiler/emit/StoredPlaces.h"

#include "runtime/core/TensorPattern.h"

#include <algorithm>

using namespace moec;

/// The place of a matrix among those of its layer that the source is for; negative where it is
/// before them.
static int64_t partOf(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) {
  const auto perLayer = static_cast<uint64_t>(weight.layerMatrices());
  return static_cast<int64_t>(matrix % perLayer) - source.firstMatrix;
}

bool moec::isFor(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) {
  const int64_t part = partOf(weight, source, matrix);
  return part >= 0 && part < weight.matricesOf(source);
}

std::string moec::tensorName(const PackedWeight &weight, const StoredRows &source,
                             const std::string &pattern, uint64_t matrix) {
  int64_t layer = weight.layers.empty()
                      ? 0
                      : weight.layers[matrix / static_cast<uint64_t>(weight.layerMatrices())];
  return expandPattern(pattern, layer, partOf(weight, source, matrix));
}

uint64_t moec::partInTensor(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) {
  bool shared = weight.matricesPerLayer > 0 && source.pattern.find("{e}") == std::string::npos;
  return shared ? static_cast<uint64_t>(partOf(weight, source, matrix)) : 0;
}

uint64_t moec::rowElements(const PackedWeight &weight, const StoredRows &source,
                           const CheckpointTensor &tensor) {
  if (source.transposed)
    return tensor.shape.empty() ? 1 : static_cast<uint64_t>(tensor.shape.back());
  return static_cast<uint64_t>(weight.columns) *
         static_cast<uint64_t>(source.sideBySide ? weight.matricesOf(source) : 1);
}

/// What a block covers; all is more than there is of anything.
static uint64_t blockExtent(int64_t block) {
  return block ? static_cast<uint64_t>(block) : uint64_t(1) << 62;
}

static uint64_t blocksIn(uint64_t extent, uint64_t block) {
  return extent / block + (extent % block ? 1 : 0);
}

ScalePlaces::ScalePlaces(const PackedWeight &weight, const StoredRows &source,
                         const CheckpointTensor &codes, uint64_t matrix)
    : blockRows(blockExtent(source.scaleRows)), blockColumns(blockExtent(source.scaleColumns)) {
  const auto perMatrix = static_cast<uint64_t>(source.rowsPerMatrix);
  const uint64_t part = source.sideBySide ? 0 : partInTensor(weight, source, matrix);
  const bool isStack = codes.shape.size() > 2;
  columns = blocksIn(rowElements(weight, source, codes), blockColumns);
  first = isStack ? part * blocksIn(perMatrix, blockRows) : 0;
  skipped = isStack ? 0 : part * perMatrix;
}

uint64_t moec::mostScales(const PackedWeight &weight, const StoredRows &source, uint64_t rows) {
  if (source.scales.empty())
    return 0;
  const auto depth = static_cast<uint64_t>(weight.columns),
             matrices = static_cast<uint64_t>(weight.matricesOf(source));
  const uint64_t span = rows * static_cast<uint64_t>(source.rowStep),
                 blockRows = blockExtent(source.scaleRows),
                 blockColumns = blockExtent(source.scaleColumns);
  if (!source.transposed)
    return (span / blockRows + 2) *
           blocksIn(depth * (source.sideBySide ? matrices : 1), blockColumns);
  // Rows of scales are read whole, and turned.
  const auto last = static_cast<uint64_t>(source.firstRow + (source.rows - 1) * source.rowStep);
  return (depth / blockRows + 2) * (blocksIn(2 * (last + 1), blockColumns) + rows);
}
