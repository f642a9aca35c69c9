// Finds the tensors of a plan in a checkpoint, and checks their types and sizes.

#include "compiler/emit/PackSources.h"

#include "compiler/emit/StoredCodes.h"
#include "compiler/emit/StoredPlaces.h"

#include <fmt/format.h>

using namespace moec;

/// The last stored row that a source takes of a matrix, or column of a transposed tensor.
static uint64_t lastRow(const StoredRows &source) {
  return static_cast<uint64_t>(source.firstRow) +
         static_cast<uint64_t>(source.rows - 1) * static_cast<uint64_t>(source.rowStep);
}

/// Whether the tensor has all that the source takes for the part of that number.
static bool holds(const CheckpointTensor &tensor, const PackedWeight &weight,
                  const StoredRows &source, uint64_t part) {
  const uint64_t length = rowElements(weight, source, tensor);
  const uint64_t rowBytes = storedBytes(source.stored, length);
  if (rowBytes == 0 || tensor.bytes % rowBytes != 0)
    return false;
  const uint64_t begin = part * static_cast<uint64_t>(source.rowsPerMatrix), last = lastRow(source),
                 rows = tensor.bytes / rowBytes;
  if (source.transposed)
    return last < length && begin + static_cast<uint64_t>(weight.columns) <= rows;
  return begin + last < rows;
}

Result<const CheckpointTensor *> PackSources::require(const PackedWeight &weight,
                                                      const std::string &name) const {
  if (const CheckpointTensor *tensor = tensors->find(name))
    return tensor;
  return Status{Code::Model, fmt::format("{}: tensor `{}` is missing, which `{}` is made of",
                                         tensors->directory(), name, weight.name)};
}

Status PackSources::checkTensors(const PackedWeight &weight, const StoredRows &source,
                                 uint64_t matrix) const {
  std::string name = tensorName(weight, source, source.pattern, matrix);
  Result<const CheckpointTensor *> tensor = require(weight, name);
  if (!tensor.ok())
    return tensor.status();
  const bool isBytes = weight.element == PackedElement::Byte;
  if (isBytes && (*tensor)->bytes != weight.bytes())
    return {Code::Model, fmt::format("{}: tensor `{}` has {} bytes, wanted {}", pathOf(**tensor),
                                     name, (*tensor)->bytes, weight.bytes())};
  if (!isBytes && (*tensor)->type != tensorTypeOf(source.stored))
    return {Code::Model,
            fmt::format("{}: tensor `{}` is {}, wanted {}", pathOf(**tensor), name,
                        dataTypeName((*tensor)->type), dataTypeName(tensorTypeOf(source.stored)))};
  if (!holds(**tensor, weight, source, partInTensor(weight, source, matrix)))
    return {Code::Model, fmt::format("{}: tensor `{}` of shape {} does not hold the {} rows of {} "
                                     "elements that `{}` takes from it",
                                     pathOf(**tensor), name, shapeText((*tensor)->shape),
                                     source.rows, weight.columns, weight.name)};
  return isCode(source.stored) ? checkScales(weight, source, matrix, **tensor) : Status();
}

Status PackSources::checkScales(const PackedWeight &weight, const StoredRows &source,
                                uint64_t matrix, const CheckpointTensor &codes) const {
  std::string name = tensorName(weight, source, source.scales, matrix);
  Result<const CheckpointTensor *> tensor = require(weight, name);
  if (!tensor.ok())
    return tensor.status();
  const ScalePlaces places(weight, source, codes, matrix);
  const uint64_t last =
      source.transposed ? static_cast<uint64_t>(weight.columns) - 1 : lastRow(source);
  const uint64_t wanted = (places.rowOf(last) + 1) * places.columns;
  if (isScaleType((*tensor)->type) && (*tensor)->bytes >= storedBytes((*tensor)->type, wanted))
    return {};
  return {Code::Model, fmt::format("{}: tensor `{}` is {} of shape {}, and does not hold the {} "
                                   "scales that `{}` takes from it",
                                   pathOf(**tensor), name, dataTypeName((*tensor)->type),
                                   shapeText((*tensor)->shape), wanted, weight.name)};
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
      for (uint64_t matrix = 0; matrix < weight.matrices(); ++matrix)
        if (isFor(weight, source, matrix))
          if (Status status = opened.checkTensors(weight, source, matrix); !status.ok())
            return status;
  return opened;
}
