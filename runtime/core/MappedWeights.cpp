// From the manifest's pieces to addresses in mapped files.

#include "runtime/core/MappedWeights.h"

#include "runtime/core/Digest.h"
#include "runtime/core/Safetensors.h"
#include "runtime/core/TensorPattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

using namespace moec;

namespace {

/// A tensor, and where it lies in memory.
struct Place {
  const SafetensorsTensor *tensor = nullptr;
  const uint8_t *data = nullptr;
  const std::string *path = nullptr;
};

} // namespace

/// Opens one source, and checks that it is what the program was compiled from.
static Result<File> openSource(const ManifestSource &source, const std::string &directory,
                               bool followLinks) {
  auto mismatch = [&](const std::string &why) {
    return Status{Code::Mismatch,
                  fmt::format("{}; name the model that this program was compiled from with "
                              "--model-dir, or compile again",
                              why)};
  };
  Result<std::string> path = resolveInside(directory, source.path, followLinks);
  if (!path.ok())
    return mismatch(path.status().message);
  Result<File> file = File::open(*path, Code::Mismatch);
  if (!file.ok())
    return file.status();
  if (file->size() != source.bytes)
    return mismatch(fmt::format("{}/{}: holds {} bytes, {} when the program was compiled",
                                directory, source.path, file->size(), source.bytes));
  return file;
}

/// The header of a source, whose bytes have to be those that the program was compiled from.
static Result<SafetensorsHeader> readHeader(const File &file, const ManifestSource &source,
                                            const std::string &directory) {
  Result<SafetensorsHeader> header = SafetensorsHeader::read(file);
  if (!header.ok())
    return Status{Code::Mismatch, header.status().message};
  Result<Digest> digest = sampleDigest(file, header->dataStart());
  if (!digest.ok())
    return digest.status();
  if (digestText(*digest) != source.digest)
    return Status{Code::Mismatch, fmt::format("{}/{}: was changed after the program was compiled; "
                                              "compile the model again",
                                              directory, source.path)};
  return header;
}

/// Where the rows of a piece begin in one of its tensors, `name`, those of the expert or head of
/// that number.
static Result<const uint8_t *> findRows(const ManifestPiece &piece, const Place &place,
                                        const std::string &name, int64_t part) {
  const DataType stored = *parseDataType(piece.stored);
  const auto elementBytes = static_cast<uint64_t>(dataTypeBits(stored)) / 8;
  uint64_t rowElements = 1;
  for (size_t axis = 1; axis < piece.shape.size(); ++axis)
    rowElements *= static_cast<uint64_t>(piece.shape[axis]);
  rowElements = std::max<uint64_t>(rowElements, 1);
  const auto rows = static_cast<uint64_t>(piece.shape[0]);
  const uint64_t elements = place.tensor->bytes() / elementBytes;
  const uint64_t first = static_cast<uint64_t>(part) * static_cast<uint64_t>(piece.rowsPerMatrix) +
                         static_cast<uint64_t>(piece.firstRow);
  if (place.tensor->type != stored || elements % rowElements != 0 ||
      first > elements / rowElements || rows > elements / rowElements - first)
    return Status{Code::Mismatch,
                  fmt::format("{}: tensor `{}` is {} of shape {}; the program wants {} rows from "
                              "row {} on, of {} elements of {}; compile the model again",
                              *place.path, name, dataTypeName(place.tensor->type),
                              shapeText(place.tensor->shape), rows, first, rowElements,
                              piece.stored)};
  const uint8_t *data = place.data + first * rowElements * elementBytes;
  if (reinterpret_cast<uintptr_t>(data) % elementBytes != 0)
    return Status{Code::Unsupported,
                  fmt::format("{}: tensor `{}` does not lie at a multiple of {} bytes, so it "
                              "cannot be used where it lies; compile with --weights=pack",
                              *place.path, name, elementBytes)};
  return data;
}

Result<MappedWeights> MappedWeights::open(std::span<const ManifestPiece> pieces,
                                          std::span<const ManifestSource> sources,
                                          const std::string &directory, bool followLinks) {
  MappedWeights weights;
  std::vector<SafetensorsHeader> headers;
  headers.reserve(sources.size()); // places point into them
  weights.names.reserve(sources.size());
  std::unordered_map<std::string_view, Place> places;
  for (const ManifestSource &source : sources) {
    Result<File> file = openSource(source, directory, followLinks);
    if (!file.ok())
      return file.status();
    Result<SafetensorsHeader> header = readHeader(*file, source, directory);
    if (!header.ok())
      return header.status();
    Result<MappedFile> mapped = MappedFile::map(*file);
    if (!mapped.ok())
      return mapped.status();
    headers.push_back(std::move(*header));
    weights.names.push_back(file->path());
    for (const SafetensorsTensor &tensor : headers.back().tensors())
      places.emplace(tensor.name,
                     Place{&tensor, mapped->data() + headers.back().dataStart() + tensor.begin,
                           &weights.names.back()});
    weights.files.push_back(std::move(*mapped));
  }

  for (const ManifestPiece &piece : pieces) {
    std::optional<DataType> stored = parseDataType(piece.stored);
    bool plain = stored == DataType::F32 || stored == DataType::F16 || stored == DataType::BF16;
    if (!plain || piece.shape.empty())
      return Status{
          Code::Mismatch,
          fmt::format("piece `{}` of the manifest has no shape, or is not F32, F16 or BF16",
                      piece.name)};
    auto take = [&](const std::string &name, int64_t part) -> Status {
      auto place = places.find(name);
      if (place == places.end())
        return {Code::Mismatch,
                fmt::format("{}: tensor `{}` is missing, which the program reads; compile the "
                            "model again",
                            directory, name)};
      Result<const uint8_t *> rows = findRows(piece, place->second, name, part);
      if (!rows.ok())
        return rows.status();
      weights.table.push_back(*rows);
      return {};
    };
    if (Status status = forEachName(piece.pattern, piece.layers, piece.matricesPerLayer, take);
        !status.ok())
      return status;
  }
  return weights;
}

uint64_t MappedWeights::bytes() const {
  uint64_t total = 0;
  for (const MappedFile &file : files)
    total += file.size();
  return total;
}
