// Cutting a plan into tasks, and carrying one out: read rows, convert, transpose.

#include "compiler/emit/PackTasks.h"

#include "compiler/emit/StoredPlaces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

using namespace moec;

/// What a task makes at least, where the weight is large enough: long reads and writes, small
/// buffers.
static constexpr uint64_t kTaskBytes = 4 << 20;

// Units -----------------------------------------------------------------------------------------

static uint64_t rowsPerUnit(const PackedWeight &weight) {
  switch (weight.layout) {
  case PackedLayout::Rows:
    return 1;
  case PackedLayout::Panels:
    return kPanelColumns;
  case PackedLayout::Bands:
    return kBandRows;
  }
  return 1;
}

static uint64_t unitsPerMatrix(const PackedWeight &weight) {
  const uint64_t rows = rowsPerUnit(weight);
  return (static_cast<uint64_t>(weight.rows) + rows - 1) / rows;
}

/// Bytes of a unit; the last panel of a matrix may have fewer.
static uint64_t unitBytes(const PackedWeight &weight) {
  if (weight.layout == PackedLayout::Bands)
    return static_cast<uint64_t>(bandBytes(*weight.quantized, weight.columns));
  return rowsPerUnit(weight) * weight.depthBytes();
}

/// Where a unit starts, from the start of the weight.
static uint64_t unitOffset(const PackedWeight &weight, uint64_t unit) {
  uint64_t perMatrix = unitsPerMatrix(weight);
  return unit / perMatrix * weight.matrixBytes() + unit % perMatrix * unitBytes(weight);
}

std::vector<PackTask> moec::makePackTasks(const WeightPlan &plan) {
  std::vector<PackTask> tasks;
  for (size_t index = 0; index < plan.weights.size(); ++index) {
    const PackedWeight &weight = plan.weights[index];
    uint64_t units = unitsPerMatrix(weight) * weight.matrices();
    uint64_t step = std::max<uint64_t>(1, kTaskBytes / unitBytes(weight));
    for (uint64_t unit = 0; unit < units; unit += step) {
      uint64_t count = std::min(step, units - unit);
      uint64_t begin = weight.offset + unitOffset(weight, unit);
      uint64_t end = unit + count == units ? alignPacked(weight.offset + weight.bytes())
                                           : weight.offset + unitOffset(weight, unit + count);
      tasks.push_back({static_cast<uint32_t>(index), unit, count, begin, end - begin});
    }
  }
  return tasks;
}

// Work ------------------------------------------------------------------------------------------

/// The most rows that a task has in memory at a time: those of one matrix.
static uint64_t rowsAtOnce(const PackedWeight &weight, const PackTask &task) {
  return std::min(std::min(task.units, unitsPerMatrix(weight)) * rowsPerUnit(weight),
                  static_cast<uint64_t>(weight.rows));
}

/// The bytes of these rows as they are stored.
static uint64_t inputBytes(const PackedWeight &weight, const PackTask &task) {
  const uint64_t elements = rowsAtOnce(weight, task) * static_cast<uint64_t>(weight.columns);
  uint64_t most = 0;
  for (const StoredRows &source : weight.sources) {
    uint64_t read = static_cast<uint64_t>(source.rowStep);
    most = std::max(most,
                    storedBytes(source.stored, elements) * (source.transposed ? 1 + read : read));
  }
  return most;
}

/// The bytes of their scales: as stored, and as numbers.
static uint64_t scaleBytes(const PackedWeight &weight, const PackTask &task) {
  uint64_t most = 0;
  for (const StoredRows &source : weight.sources)
    most = std::max(most, mostScales(weight, source, rowsAtOnce(weight, task)));
  return 2 * sizeof(float) * most;
}

/// Bytes of a unit's rows in between: of quantised ones codes, in panels twice, scales and zeros;
/// else the converted rows, and one of zeros.
static uint64_t stagingBytes(const PackedWeight &weight) {
  if (weight.quantized)
    return 2 * rowsPerUnit(weight) *
           static_cast<uint64_t>(quantDepthBytes(*weight.quantized, weight.columns));
  return (kPanelColumns + 1) * weight.depthBytes();
}

uint64_t PackWorker::memoryFor(const WeightPlan &plan, const PackTask &task) {
  const PackedWeight &weight = plan.weights[task.weight];
  return task.bytes + inputBytes(weight, task) + scaleBytes(weight, task) + stagingBytes(weight);
}

namespace {

/// What there is in a row.
struct Magnitudes {
  float largest = 0; ///< of the finite elements
  bool isFinite = true;
};

} // namespace

MOEC_WIDE static Magnitudes magnitudesOf(const float *values, size_t count) {
  float most = 0;
  uint32_t others = 0;
  for (size_t i = 0; i < count; ++i) {
    float magnitude = std::fabs(values[i]);
    const bool isFinite = magnitude <= std::numeric_limits<float>::max();
    others |= isFinite ? 0 : 1;
    most = isFinite && magnitude > most ? magnitude : most;
  }
  return {most, others == 0};
}

/// "[2, 5]": where an element is in a tensor.
static std::string placeText(std::span<const int64_t> shape, uint64_t index) {
  std::vector<int64_t> place(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    const auto extent = static_cast<uint64_t>(shape[axis]);
    place[axis] = static_cast<int64_t>(index % extent);
    index /= extent;
  }
  return shapeText(place);
}

Status PackWorker::checkFinite(std::span<const float> loaded, const CheckpointTensor &tensor,
                               uint64_t index) const {
  if (magnitudesOf(loaded.data(), loaded.size()).isFinite)
    return {};
  const auto odd = std::find_if_not(loaded.begin(), loaded.end(),
                                    [](float scale) { return std::isfinite(scale); });
  index += static_cast<uint64_t>(odd - loaded.begin());
  return {Code::Model,
          fmt::format("{}: tensor `{}` has a scale at {} that is no finite number, so that all it "
                      "scales would be lost; fetch the file again",
                      sources.checkpoint().files()[tensor.file].path, tensor.name,
                      placeText(tensor.shape, index))};
}

Status PackWorker::refuseElement(const PackedWeight &weight, uint64_t matrix, uint64_t row) const {
  const StoredRows *holder = nullptr;
  for (const StoredRows &source : weight.sources) {
    if (!isFor(weight, source, matrix))
      continue;
    holder = &source;
    if (row < static_cast<uint64_t>(source.rows))
      break;
    row -= static_cast<uint64_t>(source.rows);
  }
  const std::string name = tensorName(weight, *holder, holder->pattern, matrix);
  const CheckpointTensor *tensor = sources.checkpoint().find(name);
  return {Code::Model,
          fmt::format("{}: tensor `{}` has an element in {} {} that is no finite number, which {} "
                      "cannot hold; fetch the file again, or leave its class as it is stored",
                      sources.checkpoint().files()[tensor->file].path, name,
                      holder->transposed ? "column" : "row",
                      static_cast<uint64_t>(holder->firstRow) +
                          row * static_cast<uint64_t>(holder->rowStep) +
                          (holder->transposed || holder->sideBySide
                               ? 0
                               : partInTensor(weight, *holder, matrix) *
                                     static_cast<uint64_t>(holder->rowsPerMatrix)),
                      weight.elementName())};
}

/// Fetches the scales of rows that follow `first` in their source, and tells them where they are.
Status PackWorker::loadScales(const PackedWeight &weight, const StoredRows &source, uint64_t matrix,
                              uint64_t first, std::span<Row> loaded) {
  const auto columns = static_cast<uint64_t>(weight.columns);
  const CheckpointTensor *codes = sources.checkpoint().find(
                             tensorName(weight, source, source.pattern, matrix)),
                         *tensor = sources.checkpoint().find(
                             tensorName(weight, source, source.scales, matrix));
  const ScalePlaces places(weight, source, *codes, matrix);
  auto rowOf = [&](uint64_t n) {
    return static_cast<uint64_t>(source.firstRow) +
           (first + n) * static_cast<uint64_t>(source.rowStep);
  };
  // Of a transposed tensor the rows of scales are those of K.
  const uint64_t from = places.rowOf(source.transposed ? 0 : rowOf(0)),
                 end = places.rowOf(source.transposed ? columns - 1 : rowOf(loaded.size() - 1)) + 1;
  const uint64_t count = (end - from) * places.columns;
  std::vector<uint8_t> stored(storedBytes(tensor->type, count));
  const uint64_t offset = tensor->offset + storedBytes(tensor->type, from * places.columns);
  if (Status status = sources.file(tensor->file).readAt(offset, stored); !status.ok())
    return status;
  const size_t base = scales.size();
  scales.resize(base + count);
  widenScales(stored.data(), tensor->type, scales.data() + base, count);
  if (Status status = checkFinite(std::span(scales).subspan(base), *tensor, from * places.columns);
      !status.ok())
    return status;
  if (source.transposed) { // a row's scales lie below one another
    for (uint64_t n = 0; n < loaded.size(); ++n) {
      loaded[n].scale = scales.size();
      loaded[n].block = static_cast<size_t>(source.scaleRows);
      loaded[n].lead = places.skipped % places.blockRows;
      for (uint64_t k = 0; k < end - from; ++k)
        scales.push_back(scales[base + k * places.columns + places.columnOf(rowOf(n))]);
    }
    return {};
  }
  const uint64_t column = source.sideBySide ? partInTensor(weight, source, matrix) * columns : 0;
  for (uint64_t n = 0; n < loaded.size(); ++n) {
    loaded[n].scale =
        base + (places.rowOf(rowOf(n)) - from) * places.columns + places.columnOf(column);
    loaded[n].block = static_cast<size_t>(source.scaleColumns);
    loaded[n].lead = column % places.blockColumns;
  }
  return {};
}

Status PackWorker::loadPiece(const PackedWeight &weight, const StoredRows &source, uint64_t matrix,
                             uint64_t first, uint64_t count) {
  const CheckpointTensor *tensor =
      sources.checkpoint().find(tensorName(weight, source, source.pattern, matrix));
  const File &file = sources.file(tensor->file);
  auto columns = static_cast<uint64_t>(weight.columns);
  auto step = static_cast<uint64_t>(source.rowStep);
  uint64_t perMatrix = static_cast<uint64_t>(source.rowsPerMatrix);
  uint64_t part = partInTensor(weight, source, matrix);
  auto bytesOf = [&](uint64_t elements) { return storedBytes(source.stored, elements); };
  uint64_t begin = static_cast<uint64_t>(source.firstRow) + first * step;
  uint64_t span = (count - 1) * step + 1; // rows from the first to the last

  if (source.sideBySide) {
    uint64_t length = rowElements(weight, source, *tensor);
    for (uint64_t n = 0; n < count; ++n) {
      std::span<uint8_t> room(in.data() + used, bytesOf(columns));
      used += room.size();
      uint64_t at = (begin + n * step) * length + part * columns;
      if (Status status = file.readAt(tensor->offset + bytesOf(at), room); !status.ok())
        return status;
      rows.push_back({room.data(), source.stored});
    }
    return {};
  }

  if (!source.transposed) {
    std::span<uint8_t> room(in.data() + used, bytesOf(span * columns));
    used += room.size();
    uint64_t row = part * perMatrix + begin;
    if (Status status = file.readAt(tensor->offset + bytesOf(row * columns), room); !status.ok())
      return status;
    for (uint64_t n = 0; n < count; ++n)
      rows.push_back({room.data() + n * bytesOf(step * columns), source.stored});
    return {};
  }

  // Fetch the columns that are our rows, and turn them.
  const uint64_t size = bytesOf(1); // elements that share a byte are not stored so
  strip.resize(columns * span * size);
  const uint64_t length = rowElements(weight, source, *tensor);
  uint64_t base = tensor->offset + part * perMatrix * length * size;
  if (span == length) {
    if (Status status = file.readAt(base, strip); !status.ok())
      return status;
  } else {
    for (uint64_t k = 0; k < columns; ++k)
      if (Status status = file.readAt(base + (k * length + begin) * size,
                                      {strip.data() + k * span * size, span * size});
          !status.ok())
        return status;
  }
  uint8_t *to = in.data() + used;
  used += count * columns * size;
  for (uint64_t n = 0; n < count; ++n) {
    uint8_t *row = to + n * columns * size;
    for (uint64_t k = 0; k < columns; ++k)
      std::memcpy(row + k * size, strip.data() + (k * span + n * step) * size, size);
    rows.push_back({row, source.stored});
  }
  return {};
}

Status PackWorker::loadRows(const PackedWeight &weight, uint64_t matrix, uint64_t first,
                            uint64_t count) {
  rows.clear();
  scales.clear();
  used = 0;
  uint64_t begin = 0; // of the source, among the matrix's rows
  for (const StoredRows &source : weight.sources) {
    if (!isFor(weight, source, matrix))
      continue;
    uint64_t end = begin + static_cast<uint64_t>(source.rows);
    uint64_t from = std::max(first, begin), to = std::min(first + count, end);
    begin = end;
    if (from >= to)
      continue;
    const size_t known = rows.size();
    const uint64_t row = from - (end - static_cast<uint64_t>(source.rows));
    if (Status status = loadPiece(weight, source, matrix, row, to - from); !status.ok())
      return status;
    if (!isCode(source.stored))
      continue;
    if (Status status = loadScales(weight, source, matrix, row, std::span(rows).subspan(known));
        !status.ok())
      return status;
  }
  return {};
}

void PackWorker::widen(const PackedWeight &weight, const Row &row) {
  const auto columns = static_cast<size_t>(weight.columns);
  widened.resize(columns);
  if (isCode(row.stored))
    widenCodes(codesOf(row), columns, widened.data());
  else
    convertElements(row.data, row.stored, reinterpret_cast<uint8_t *>(widened.data()),
                    PackedElement::F32, columns);
}

void PackWorker::convert(const PackedWeight &weight, const Row &row, uint8_t *to) {
  const auto columns = static_cast<size_t>(weight.columns);
  if (!isCode(row.stored)) {
    lost |= convertElements(row.data, row.stored, to, weight.element, columns);
    return;
  }
  widen(weight, row);
  lost |= convertElements(reinterpret_cast<const uint8_t *>(widened.data()), DataType::F32, to,
                          weight.element, columns);
}

void PackWorker::layOutPanel(const PackedWeight &weight, std::span<const Row> panel, uint64_t width,
                             uint8_t *to) {
  uint64_t depth = weight.depthBytes();
  auto columns = static_cast<size_t>(weight.columns);
  uint64_t size = packedElementBytes(weight.element);
  const uint8_t *pointers[kPanelColumns];
  uint8_t *zeros = staging.data() + kPanelColumns * depth;
  for (uint64_t n = 0; n < width; ++n) {
    if (n >= panel.size()) {
      pointers[n] = zeros;
    } else if (columns * size == depth && isSameElement(panel[n].stored, weight.element)) {
      pointers[n] = panel[n].data;
    } else {
      uint8_t *row = staging.data() + n * depth;
      convert(weight, panel[n], row);
      pointers[n] = row;
    }
  }
  transposeWords(pointers, width, depth / 4, to);
}

std::optional<uint64_t> PackWorker::quantizeUnit(const PackedWeight &weight,
                                                 std::span<const Row> unit, uint64_t width,
                                                 uint8_t *to) {
  const auto columns = static_cast<size_t>(weight.columns);
  const auto groups = static_cast<size_t>(quantGroups(*weight.quantized, weight.columns));
  const auto codeBytes = static_cast<size_t>(quantRowCodeBytes(*weight.quantized, weight.columns));
  const auto scaleBytes = groups * static_cast<size_t>(quantScaleBytes(*weight.quantized));
  const auto sharing = static_cast<uint64_t>(traitsOf(*weight.quantized).scaleRows);
  // The rows' codes, twice: as they come, and as a panel has them; then scales, then zeros.
  uint8_t *codes = staging.data(), *words = codes + width * codeBytes;
  uint8_t *scales = words + width * codeBytes, *zeros = scales + width * scaleBytes;
  QuantizedRow quantized[kBandRows];
  static_assert(kBandRows >= kPanelColumns);
  for (uint64_t n = 0; n < width; ++n) {
    quantized[n] = {codes + n * codeBytes, scales + n / sharing * sharing * scaleBytes,
                    zeros + n * groups};
    if (n < unit.size() && isCode(unit[n].stored))
      if (const StoredCodes row = codesOf(unit[n]); row.fit(*weight.quantized)) {
        keepCodes(*weight.quantized, row, n, columns, quantized[n]);
        continue;
      }
    if (sharing > 1) { // rows that there are not have no scale of their own
      assert(n >= unit.size() && "all rows are stored so");
      std::fill_n(quantized[n].words, codeBytes, uint8_t(0));
      if (n % sharing == 0)
        std::fill_n(quantized[n].scales, sharing * scaleBytes, uint8_t(0));
      continue;
    }
    if (n < unit.size())
      widen(weight, unit[n]);
    else
      widened.assign(columns, 0.0f);
    const Magnitudes magnitudes = magnitudesOf(widened.data(), columns);
    if (!magnitudes.isFinite)
      return n;
    largestElement = std::max(largestElement, magnitudes.largest);
    quantizeRow(*weight.quantized, widened.data(), columns, quantized[n]);
  }
  if (weight.layout == PackedLayout::Bands)
    layOutBand(*weight.quantized, columns, quantized, to);
  else
    layOutQuantizedPanel(*weight.quantized, columns, quantized, width, words, to);
  return std::nullopt;
}

Status PackWorker::run(const PackTask &task) {
  const PackedWeight &weight = plan.weights[task.weight];
  const bool cut = weight.layout != PackedLayout::Rows; // into panels or bands
  const uint64_t perMatrix = unitsPerMatrix(weight), perUnit = rowsPerUnit(weight);
  lost = {};
  largestElement = 0;
  if (out.size() < task.bytes)
    out.resize(task.bytes);
  if (uint64_t bytes = inputBytes(weight, task); in.size() < bytes)
    in.resize(bytes);
  if (cut) // a missing last K stays zero
    staging.assign(stagingBytes(weight), 0);

  uint64_t written = 0;
  for (uint64_t unit = task.firstUnit; unit < task.firstUnit + task.units;) {
    uint64_t matrix = unit / perMatrix, within = unit % perMatrix;
    uint64_t count = std::min(perMatrix - within, task.firstUnit + task.units - unit);
    uint64_t first = within * perUnit;
    uint64_t last = std::min((within + count) * perUnit, static_cast<uint64_t>(weight.rows));
    if (Status status = loadRows(weight, matrix, first, last - first); !status.ok())
      return status;
    if (cut) {
      const bool bands = weight.layout == PackedLayout::Bands;
      for (uint64_t begin = 0; begin < rows.size(); begin += perUnit) {
        uint64_t here = std::min<uint64_t>(perUnit, rows.size() - begin);
        uint64_t width = bands ? perUnit : roundUpTo(here, kPanelLanes);
        std::span<const Row> own = std::span(rows).subspan(begin, here);
        if (!weight.quantized)
          layOutPanel(weight, own, width, out.data() + written);
        else if (std::optional<uint64_t> odd =
                     quantizeUnit(weight, own, width, out.data() + written))
          return refuseElement(weight, matrix, first + begin + *odd);
        written += bands ? unitBytes(weight) : width * weight.depthBytes();
      }
    } else {
      const uint64_t depth = weight.depthBytes();
      // Rows that follow one another in memory are converted in one go: vectors come as rows of one
      // element.
      for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
        const Row &row = rows[begin];
        if (isCode(row.stored)) {
          convert(weight, row, out.data() + written);
          written += depth;
          end = begin + 1;
          continue;
        }
        uint64_t bytes = storedBytes(row.stored, static_cast<uint64_t>(weight.columns));
        for (end = begin + 1; end < rows.size() && rows[end].stored == row.stored &&
                              rows[end].data == row.data + (end - begin) * bytes;)
          ++end;
        lost |= convertElements(row.data, row.stored, out.data() + written, weight.element,
                                (end - begin) * static_cast<size_t>(weight.columns));
        written += (end - begin) * depth;
      }
    }
    unit += count;
  }
  std::memset(out.data() + written, 0, task.bytes - written);
  return {};
}
