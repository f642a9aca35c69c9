// Sizes, offsets and the digest of a plan of packed weights.

#include "compiler/emit/WeightPlan.h"

#include "compiler/analysis/BandLayout.h"

#include <fmt/format.h>

using namespace moec;

static std::string_view packedLayoutName(PackedLayout layout) {
  switch (layout) {
  case PackedLayout::Rows:
    return "rows";
  case PackedLayout::Panels:
    return "panels";
  case PackedLayout::Bands:
    return "bands";
  }
  return "";
}

std::string_view moec::packedElementName(PackedElement element) {
  switch (element) {
  case PackedElement::F32:
    return "f32";
  case PackedElement::BF16:
    return "bf16";
  case PackedElement::F16:
    return "f16";
  case PackedElement::Byte:
    return "byte";
  }
  return "";
}

uint64_t PackedWeight::depthBytes() const {
  const auto size = static_cast<int64_t>(packedElementBytes(element));
  int64_t bytes = columns * size;
  if (quantized)
    bytes = quantDepthBytes(*quantized, columns);
  else if (layout == PackedLayout::Panels)
    bytes = panelDepth(columns, size) * size;
  return static_cast<uint64_t>(bytes);
}

uint64_t PackedWeight::matrixBytes() const {
  if (layout == PackedLayout::Bands)
    return static_cast<uint64_t>(bandMatrixBytes(*quantized, rows, columns));
  const int64_t all = layout == PackedLayout::Panels ? panelColumns(rows) : rows;
  return static_cast<uint64_t>(all) * depthBytes();
}

uint64_t WeightPlan::append(PackedWeight weight) {
  weight.offset = totalBytes();
  weights.push_back(std::move(weight));
  return weights.back().offset;
}

uint64_t WeightPlan::totalBytes() const {
  return weights.empty() ? 0 : alignPacked(weights.back().offset + weights.back().bytes());
}

Digest WeightPlan::digest() const {
  Hasher hasher;
  hasher.addField("moec weight plan");
  hasher.add(kPackRevision);
  hasher.add(static_cast<uint64_t>(weights.size()));
  auto addNumbers = [&](std::initializer_list<int64_t> numbers) {
    for (int64_t number : numbers)
      hasher.add(static_cast<uint64_t>(number));
  };
  for (const PackedWeight &weight : weights) {
    hasher.addField(weight.name);
    hasher.addField(packedLayoutName(weight.layout));
    hasher.addField(weight.elementName());
    addNumbers({static_cast<int64_t>(weight.offset), weight.matricesPerLayer, weight.rows,
                weight.columns, static_cast<int64_t>(weight.layers.size()),
                static_cast<int64_t>(weight.sources.size())});
    for (int64_t layer : weight.layers)
      addNumbers({layer});
    for (const StoredRows &source : weight.sources) {
      hasher.addField(source.pattern);
      hasher.addField(dataTypeName(source.stored));
      addNumbers({source.rows, source.firstRow, source.rowStep, source.rowsPerMatrix,
                  source.transposed, source.sideBySide, source.firstMatrix, source.matrices});
      if (source.scales.empty()) // which only other types have
        continue;
      hasher.addField(source.scales);
      addNumbers({source.scaleRows, source.scaleColumns});
    }
  }
  return hasher.finish();
}

static constexpr int64_t kMost = int64_t(1) << 40;

/// What is wrong with one source by itself; empty where nothing is.
static std::string_view findFault(const PackedWeight &weight, const StoredRows &source) {
  if (source.rows < 1 || source.rows > kMost || source.firstRow < 0 || source.firstRow > kMost ||
      source.rowStep < 1 || source.rowStep > 1024 || source.rowsPerMatrix < 0 ||
      source.rowsPerMatrix > kMost)
    return "has a source with a number out of range";
  if (weight.matricesPerLayer > 0 && source.rowsPerMatrix == 0 && !source.sideBySide &&
      source.pattern.find("{e}") == std::string::npos)
    return "has a source that does not say where each matrix's rows are";
  if (source.sideBySide &&
      (weight.matricesPerLayer == 0 || source.transposed || source.rowsPerMatrix > 0 ||
       source.pattern.find("{e}") != std::string::npos))
    return "has a source of matrices side by side that says otherwise where they are";
  const bool isFloat4 = source.stored == DataType::F4;
  const bool hasScales = isFloat4 || source.stored == DataType::F8E4M3;
  if ((source.stored == DataType::U8) != (weight.element == PackedElement::Byte))
    return "has a source of bytes where it has other elements, or the reverse";
  if (!hasScales && source.stored != DataType::U8 && source.stored != DataType::F32 &&
      source.stored != DataType::F16 && source.stored != DataType::BF16)
    return "has a source that is not stored as F32, F16, BF16, F8_E4M3 or F4";
  if (hasScales == source.scales.empty() || source.scaleRows < 0 || source.scaleRows > kMost ||
      source.scaleColumns < 0 || source.scaleColumns > kMost)
    return "has a source of codes without scales, or of others with them";
  if (isFloat4 && (source.scaleRows != 1 || source.scaleColumns != kQuantChunk ||
                   weight.columns % kQuantChunk != 0 || source.transposed))
    return "has a source of F4 that is not of rows of whole groups";
  return {};
}

Status WeightPlan::check() const {
  uint64_t end = 0;
  for (const PackedWeight &weight : weights) {
    auto wrong = [&](std::string_view what) {
      return Status{Code::Internal, fmt::format("weight plan: `{}` {}", weight.name, what)};
    };
    if (weight.rows < 1 || weight.rows > kMost || weight.columns < 1 || weight.columns > kMost ||
        weight.matricesPerLayer < 0 || weight.matricesPerLayer > kMost ||
        weight.layers.size() > 1'000'000)
      return wrong("has a size out of range");
    if (weight.quantized ? weight.layout == PackedLayout::Rows
                         : weight.layout == PackedLayout::Bands)
      return wrong("has a layout that its elements have not");
    double bytes = static_cast<double>(weight.matrices()) * static_cast<double>(weight.rows + 48) *
                   static_cast<double>(weight.columns + 1) * 4;
    if (bytes > 0x1p60 || weight.offset > uint64_t(1) << 60)
      return wrong("is too large");
    if (auto wanted = static_cast<uint64_t>(alignPacked(static_cast<int64_t>(end)));
        weight.offset != wanted)
      return wrong(
          fmt::format("lies at {}, wanted {}, after the weight before it", weight.offset, wanted));
    end = weight.offset + weight.bytes();
    int64_t total = weight.layerMatrices();
    // The matrices that the sources at hand are for, and the rows that these have so far.
    int64_t first = 0, matrices = 0, rows = 0;
    for (const StoredRows &source : weight.sources) {
      if (std::string_view fault = findFault(weight, source); !fault.empty())
        return wrong(fault);
      if (matrices == 0 || (rows == weight.rows && source.firstMatrix == first + matrices)) {
        first += matrices;
        matrices = source.matrices ? source.matrices : total - first;
        rows = 0;
      }
      if (source.firstMatrix != first || weight.matricesOf(source) != matrices || matrices < 1 ||
          matrices > total - first)
        return wrong(
            fmt::format("has a source for matrices from {} on out of order", source.firstMatrix));
      rows += source.rows;
    }
    if (rows != weight.rows)
      return wrong(fmt::format("has {} rows, its sources {}", weight.rows, rows));
    if (first + matrices != total)
      return wrong(
          fmt::format("has {} matrices per layer, its sources {}", total, first + matrices));
  }
  return {};
}
