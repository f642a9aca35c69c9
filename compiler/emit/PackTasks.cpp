// Cutting a plan into tasks, and carrying one out: read rows, convert, transpose.

#include "compiler/emit/PackTasks.h"

#include "compiler/emit/Quantizer.h"
#include "runtime/core/TensorPattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

using namespace moec;

/// What a task makes at least, where the weight is large enough: long reads and writes, small
/// buffers.
static constexpr uint64_t kTaskBytes = 4 << 20;

// Units -----------------------------------------------------------------------------------------

static uint64_t storedBytes(DataType type) { return static_cast<uint64_t>(dataTypeBits(type)) / 8; }

static uint64_t unitsPerMatrix(const PackedWeight &weight) {
  return static_cast<uint64_t>(weight.layout == PackedLayout::Panels ? panelCount(weight.rows)
                                                                     : weight.rows);
}

/// Where a unit starts, from the start of the weight.
static uint64_t unitOffset(const PackedWeight &weight, uint64_t unit) {
  uint64_t perMatrix = unitsPerMatrix(weight);
  uint64_t rowsPerUnit = weight.layout == PackedLayout::Panels ? kPanelColumns : 1;
  return unit / perMatrix * weight.matrixBytes() +
         unit % perMatrix * rowsPerUnit * weight.depthBytes();
}

std::vector<PackTask> moec::makePackTasks(const WeightPlan &plan) {
  std::vector<PackTask> tasks;
  for (size_t index = 0; index < plan.weights.size(); ++index) {
    const PackedWeight &weight = plan.weights[index];
    uint64_t units = unitsPerMatrix(weight) * weight.matrices();
    uint64_t rowsPerUnit = weight.layout == PackedLayout::Panels ? kPanelColumns : 1;
    uint64_t step = std::max<uint64_t>(1, kTaskBytes / (rowsPerUnit * weight.depthBytes()));
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

// Sources ---------------------------------------------------------------------------------------

static uint64_t expertsPerLayer(const PackedWeight &weight) {
  return weight.experts ? static_cast<uint64_t>(weight.experts) : 1;
}

/// Whether a source is for the expert of one matrix of the stack.
static bool isFor(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) {
  auto expert = static_cast<int64_t>(matrix % expertsPerLayer(weight));
  return expert >= source.firstExpert && expert - source.firstExpert < weight.expertsOf(source);
}

/// The expert of a matrix, counted from the first that the source is for.
static uint64_t expertOf(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) {
  return matrix % expertsPerLayer(weight) - static_cast<uint64_t>(source.firstExpert);
}

/// The tensor of a source for one matrix of the stack.
static std::string tensorName(const PackedWeight &weight, const StoredRows &source,
                              uint64_t matrix) {
  int64_t layer = weight.layers.empty() ? 0 : weight.layers[matrix / expertsPerLayer(weight)];
  return expandPattern(source.pattern, layer,
                       static_cast<int64_t>(expertOf(weight, source, matrix)));
}

/// The expert whose part of the tensor is meant; 0 where it has a tensor of its own.
static uint64_t expertInTensor(const PackedWeight &weight, const StoredRows &source,
                               uint64_t matrix) {
  bool shared = weight.experts > 0 && source.pattern.find("{e}") == std::string::npos;
  return shared ? expertOf(weight, source, matrix) : 0;
}

/// Elements of a stored row.
static uint64_t rowElements(const PackedWeight &weight, const StoredRows &source,
                            const CheckpointTensor &tensor) {
  if (source.transposed)
    return tensor.shape.empty() ? 1 : static_cast<uint64_t>(tensor.shape.back());
  return static_cast<uint64_t>(weight.columns) *
         static_cast<uint64_t>(source.sideBySide ? weight.expertsOf(source) : 1);
}

/// Whether the tensor has all that the source takes for an expert.
static bool holds(const CheckpointTensor &tensor, const PackedWeight &weight,
                  const StoredRows &source, uint64_t expert) {
  const uint64_t elements = tensor.bytes / storedBytes(tensor.type);
  const uint64_t length = rowElements(weight, source, tensor);
  if (length == 0 || elements % length != 0)
    return false;
  const uint64_t begin = expert * static_cast<uint64_t>(source.rowsPerExpert);
  const uint64_t last =
      static_cast<uint64_t>(source.firstRow) +
      static_cast<uint64_t>(source.rows - 1) * static_cast<uint64_t>(source.rowStep);
  const uint64_t rows = elements / length;
  if (source.transposed)
    return last < length && begin + static_cast<uint64_t>(weight.columns) <= rows;
  return begin + last < rows;
}

Result<PackSources> PackSources::open(const Checkpoint &checkpoint, const WeightPlan &plan) {
  PackSources opened;
  opened.tensors = &checkpoint;
  for (const CheckpointFile &shard : checkpoint.files()) {
    Result<File> file = File::open(shard.path);
    if (!file.ok())
      return file.status();
    if (file->size() != shard.bytes)
      return Status{Code::Model, fmt::format("{}: holds {} bytes now, and held {} a moment ago",
                                             shard.path, file->size(), shard.bytes)};
    opened.files.push_back(std::move(*file));
  }
  for (const PackedWeight &weight : plan.weights)
    for (const StoredRows &source : weight.sources)
      for (uint64_t matrix = 0; matrix < weight.matrices(); ++matrix) {
        if (!isFor(weight, source, matrix))
          continue;
        std::string name = tensorName(weight, source, matrix);
        const CheckpointTensor *tensor = checkpoint.find(name);
        if (!tensor)
          return Status{Code::Model,
                        fmt::format("{}: tensor `{}` is missing, which `{}` is made of",
                                    checkpoint.directory(), name, weight.name)};
        if (tensor->type != source.stored)
          return Status{Code::Model,
                        fmt::format("{}: tensor `{}` is {}, wanted {}",
                                    checkpoint.files()[tensor->file].path, name,
                                    dataTypeName(tensor->type), dataTypeName(source.stored))};
        if (!holds(*tensor, weight, source, expertInTensor(weight, source, matrix)))
          return Status{Code::Model,
                        fmt::format("{}: tensor `{}` of shape {} does not hold the {} rows of {} "
                                    "elements that `{}` takes from it",
                                    checkpoint.files()[tensor->file].path, name,
                                    shapeText(tensor->shape), source.rows, weight.columns,
                                    weight.name)};
      }
  return opened;
}

// Work ------------------------------------------------------------------------------------------

/// The most bytes of stored rows that a task has in memory at a time: those of one matrix.
static uint64_t inputBytes(const PackedWeight &weight, const PackTask &task) {
  uint64_t rowsPerUnit = weight.layout == PackedLayout::Panels ? kPanelColumns : 1;
  uint64_t rows = std::min(std::min(task.units, unitsPerMatrix(weight)) * rowsPerUnit,
                           static_cast<uint64_t>(weight.rows));
  uint64_t most = 0;
  for (const StoredRows &source : weight.sources) {
    uint64_t read = static_cast<uint64_t>(source.rowStep);
    most = std::max(most, storedBytes(source.stored) * (source.transposed ? 1 + read : read));
  }
  return rows * static_cast<uint64_t>(weight.columns) * most;
}

/// Bytes of a panel's rows in between: of quantised ones the codes twice, and scales and zeros;
/// else the converted rows, and one of zeros.
static uint64_t stagingBytes(const PackedWeight &weight) {
  if (weight.quantized)
    return 2 * kPanelColumns * weight.depthBytes();
  return (kPanelColumns + 1) * weight.depthBytes();
}

uint64_t PackWorker::memoryFor(const WeightPlan &plan, const PackTask &task) {
  const PackedWeight &weight = plan.weights[task.weight];
  return task.bytes + inputBytes(weight, task) + stagingBytes(weight);
}

Status PackWorker::loadPiece(const PackedWeight &weight, const StoredRows &source, uint64_t matrix,
                             uint64_t first, uint64_t count) {
  const CheckpointTensor *tensor = sources.checkpoint().find(tensorName(weight, source, matrix));
  const File &file = sources.file(tensor->file);
  auto columns = static_cast<uint64_t>(weight.columns);
  auto step = static_cast<uint64_t>(source.rowStep);
  uint64_t perExpert = static_cast<uint64_t>(source.rowsPerExpert);
  uint64_t expert = expertInTensor(weight, source, matrix);
  uint64_t size = storedBytes(source.stored);
  uint64_t begin = static_cast<uint64_t>(source.firstRow) + first * step;
  uint64_t span = (count - 1) * step + 1; // rows from the first to the last

  if (source.sideBySide) {
    uint64_t length = rowElements(weight, source, *tensor);
    for (uint64_t n = 0; n < count; ++n) {
      std::span<uint8_t> room(in.data() + used, columns * size);
      used += room.size();
      uint64_t at = (begin + n * step) * length + expert * columns;
      if (Status status = file.readAt(tensor->offset + at * size, room); !status.ok())
        return status;
      rows.push_back({room.data(), source.stored});
    }
    return {};
  }

  if (!source.transposed) {
    std::span<uint8_t> room(in.data() + used, span * columns * size);
    used += room.size();
    uint64_t row = expert * perExpert + begin;
    if (Status status = file.readAt(tensor->offset + row * columns * size, room); !status.ok())
      return status;
    for (uint64_t n = 0; n < count; ++n)
      rows.push_back({room.data() + n * step * columns * size, source.stored});
    return {};
  }

  // Fetch the columns that are our rows, and turn them.
  strip.resize(columns * span * size);
  const uint64_t length = rowElements(weight, source, *tensor);
  uint64_t base = tensor->offset + expert * perExpert * length * size;
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
  used = 0;
  uint64_t begin = 0; // of the source, among the matrix's rows
  for (const StoredRows &source : weight.sources) {
    if (!isFor(weight, source, matrix))
      continue;
    uint64_t end = begin + static_cast<uint64_t>(source.rows);
    uint64_t from = std::max(first, begin), to = std::min(first + count, end);
    if (from < to)
      if (Status status = loadPiece(weight, source, matrix, from - begin, to - from); !status.ok())
        return status;
    begin = end;
  }
  return {};
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
      lost |= convertElements(panel[n].data, panel[n].stored, row, weight.element, columns);
      pointers[n] = row;
    }
  }
  transposeWords(pointers, width, depth / 4, to);
}

/// The largest magnitude of the numbers among `values`.
MOEC_WIDE static float largestFinite(const float *values, size_t count) {
  float most = 0;
  for (size_t i = 0; i < count; ++i) {
    float magnitude = std::fabs(values[i]);
    most = magnitude <= std::numeric_limits<float>::max() && magnitude > most ? magnitude : most;
  }
  return most;
}

void PackWorker::quantizePanel(const PackedWeight &weight, std::span<const Row> panel,
                               uint64_t width, uint8_t *to) {
  const auto columns = static_cast<size_t>(weight.columns);
  const auto groups = static_cast<size_t>(quantGroups(*weight.quantized, weight.columns));
  const auto codeBytes = static_cast<size_t>(quantRowCodeBytes(*weight.quantized, weight.columns));
  widened.resize(columns);
  const auto scaleBytes = groups * static_cast<size_t>(quantScaleBytes(*weight.quantized));
  // The rows' codes, twice: as they come, and as the panel has them; then scales, then zeros.
  uint8_t *codes = staging.data(), *words = codes + width * codeBytes;
  uint8_t *scales = words + width * codeBytes, *zeros = scales + width * scaleBytes;
  QuantizedRow quantized[kPanelColumns];
  for (uint64_t n = 0; n < width; ++n) {
    quantized[n] = {codes + n * codeBytes, scales + n * scaleBytes, zeros + n * groups};
    if (n < panel.size())
      convertElements(panel[n].data, panel[n].stored, reinterpret_cast<uint8_t *>(widened.data()),
                      PackedElement::F32, columns);
    else
      std::fill(widened.begin(), widened.end(), 0.0f);
    largestElement = std::max(largestElement, largestFinite(widened.data(), columns));
    quantizeRow(*weight.quantized, widened.data(), columns, quantized[n]);
  }
  layOutQuantizedPanel(*weight.quantized, columns, quantized, width, words, to);
}

Status PackWorker::run(const PackTask &task) {
  const PackedWeight &weight = plan.weights[task.weight];
  bool panels = weight.layout == PackedLayout::Panels;
  uint64_t perMatrix = unitsPerMatrix(weight);
  uint64_t rowsPerUnit = panels ? kPanelColumns : 1;
  uint64_t depth = weight.depthBytes();
  lost = {};
  largestElement = 0;
  if (out.size() < task.bytes)
    out.resize(task.bytes);
  if (uint64_t bytes = inputBytes(weight, task); in.size() < bytes)
    in.resize(bytes);
  if (panels) // a missing last K stays zero
    staging.assign(stagingBytes(weight), 0);

  uint64_t written = 0;
  for (uint64_t unit = task.firstUnit; unit < task.firstUnit + task.units;) {
    uint64_t matrix = unit / perMatrix, within = unit % perMatrix;
    uint64_t count = std::min(perMatrix - within, task.firstUnit + task.units - unit);
    uint64_t first = within * rowsPerUnit;
    uint64_t last = std::min((within + count) * rowsPerUnit, static_cast<uint64_t>(weight.rows));
    if (Status status = loadRows(weight, matrix, first, last - first); !status.ok())
      return status;
    if (panels) {
      for (uint64_t begin = 0; begin < rows.size(); begin += kPanelColumns) {
        uint64_t here = std::min<uint64_t>(kPanelColumns, rows.size() - begin);
        uint64_t width = roundUpTo(here, kPanelLanes);
        std::span<const Row> panel = std::span(rows).subspan(begin, here);
        if (weight.quantized)
          quantizePanel(weight, panel, width, out.data() + written);
        else
          layOutPanel(weight, panel, width, out.data() + written);
        written += width * depth;
      }
    } else {
      // Rows that follow one another in memory are converted in one go: vectors come as rows of one
      // element.
      for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
        const Row &row = rows[begin];
        uint64_t bytes = static_cast<uint64_t>(weight.columns) * storedBytes(row.stored);
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
