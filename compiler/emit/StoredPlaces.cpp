// Expands patterns, and counts blocks of scales.

#include "compiler/emit/StoredPlaces.h"

#include "runtime/core/TensorPattern.h"

#include <algorithm>

using namespace moec;

static uint64_t expertsPerLayer(const PackedWeight &weight) {
  return weight.experts ? static_cast<uint64_t>(weight.experts) : 1;
}

bool moec::isFor(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) {
  auto expert = static_cast<int64_t>(matrix % expertsPerLayer(weight));
  return expert >= source.firstExpert && expert - source.firstExpert < weight.expertsOf(source);
}

/// The expert of a matrix, counted from the first that the source is for.
static uint64_t expertOf(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) {
  return matrix % expertsPerLayer(weight) - static_cast<uint64_t>(source.firstExpert);
}

std::string moec::tensorName(const PackedWeight &weight, const StoredRows &source,
                             const std::string &pattern, uint64_t matrix) {
  int64_t layer = weight.layers.empty() ? 0 : weight.layers[matrix / expertsPerLayer(weight)];
  return expandPattern(pattern, layer, static_cast<int64_t>(expertOf(weight, source, matrix)));
}

uint64_t moec::expertInTensor(const PackedWeight &weight, const StoredRows &source,
                              uint64_t matrix) {
  bool shared = weight.experts > 0 && source.pattern.find("{e}") == std::string::npos;
  return shared ? expertOf(weight, source, matrix) : 0;
}

uint64_t moec::rowElements(const PackedWeight &weight, const StoredRows &source,
                           const CheckpointTensor &tensor) {
  if (source.transposed)
    return tensor.shape.empty() ? 1 : static_cast<uint64_t>(tensor.shape.back());
  return static_cast<uint64_t>(weight.columns) *
         static_cast<uint64_t>(source.sideBySide ? weight.expertsOf(source) : 1);
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
  const auto perExpert = static_cast<uint64_t>(source.rowsPerExpert);
  const uint64_t expert = source.sideBySide ? 0 : expertInTensor(weight, source, matrix);
  const bool isStack = codes.shape.size() > 2;
  columns = blocksIn(rowElements(weight, source, codes), blockColumns);
  first = isStack ? expert * blocksIn(perExpert, blockRows) : 0;
  skipped = isStack ? 0 : expert * perExpert;
}

uint64_t moec::mostScales(const PackedWeight &weight, const StoredRows &source, uint64_t rows) {
  if (source.scales.empty())
    return 0;
  const auto depth = static_cast<uint64_t>(weight.columns),
             experts = static_cast<uint64_t>(weight.expertsOf(source));
  const uint64_t span = rows * static_cast<uint64_t>(source.rowStep),
                 blockRows = blockExtent(source.scaleRows),
                 blockColumns = blockExtent(source.scaleColumns);
  if (!source.transposed)
    return (span / blockRows + 2) *
           blocksIn(depth * (source.sideBySide ? experts : 1), blockColumns);
  // Rows of scales are read whole, and turned.
  const auto last = static_cast<uint64_t>(source.firstRow + (source.rows - 1) * source.rowStep);
  return (depth / blockRows + 2) * (blocksIn(2 * (last + 1), blockColumns) + rows);
}
