// The safetensors format: element types, a strict header parser, a header-only file reader and a
// writer.

#ifndef MOEC_RUNTIME_CORE_SAFETENSORS_H
#define MOEC_RUNTIME_CORE_SAFETENSORS_H

#include "runtime/core/File.h"
#include "runtime/core/Result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Element type of a stored tensor.
enum class DataType : uint8_t {
  Bool,
  U8,
  I8,
  F8E4M3,
  F8E5M2,
  F8E8M0,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  I64,
  U64,
  F64,
  C64,
  F4,
  F6E2M3,
  F6E3M2,
};

/// The format's name of a type: `BF16`, `F8_E4M3`.
std::string_view dataTypeName(DataType type);
/// The type of that name; none if the format knows no such name.
std::optional<DataType> parseDataType(std::string_view name);
/// Bits of one element; a multiple of 8 for all but F4 and F6.
int64_t dataTypeBits(DataType type);

/// `[8, 40]`, as messages show a shape.
std::string shapeText(std::span<const int64_t> shape);

/// One entry of a header. Offsets count from the first byte after the header.
struct SafetensorsTensor {
  std::string name;
  DataType type = DataType::F32;
  std::vector<int64_t> shape; ///< each at least 0; the product fits
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t bytes() const { return end - begin; }
};

/// How strictly the length of a file is taken.
enum class FileLength {
  Exact,   ///< the file ends where its last tensor does
  Partial, ///< it may end anywhere after its header (`--headers-only`)
};

/// A checked header: types known, shape times size equal to the span, and the spans cover the data
/// without hole or overlap.
class SafetensorsHeader {
public:
  static constexpr uint64_t kMaxJsonBytes = 100'000'000;

  /// Parses the first bytes of a file: 8 bytes of length, then that much JSON; bytes after that are
  /// not looked at. `fileBytes` is the length of the whole file, `file` its name in messages.
  static Result<SafetensorsHeader> parse(std::span<const uint8_t> bytes, uint64_t fileBytes,
                                         std::string_view file,
                                         FileLength length = FileLength::Exact);

  /// Reads and parses the header of `file`, and no byte after it.
  static Result<SafetensorsHeader> read(const File &file, FileLength length = FileLength::Exact);

  /// Where the data starts in the file: 8 plus the length of the JSON.
  uint64_t dataStart() const { return start; }
  /// Bytes of data that the header describes.
  uint64_t dataBytes() const { return entries.empty() ? 0 : entries.back().end; }
  /// All tensors, in the order of their data.
  std::span<const SafetensorsTensor> tensors() const { return entries; }
  /// The tensor of that name, or null.
  const SafetensorsTensor *find(std::string_view name) const;

private:
  uint64_t start = 0;
  std::vector<SafetensorsTensor> entries;
  std::vector<uint32_t> byName; // indices into `entries`, sorted by name
};

/// What comes before the data of a file of `tensors`, whose data follow one another in this order.
/// Their `begin` and `end` are set. The data start at a multiple of 8; there is no metadata.
std::string safetensorsHeader(std::span<SafetensorsTensor> tensors);

/// A tensor to write; `data` must outlive the call.
struct SafetensorsOutput {
  std::string name;
  DataType type = DataType::F32;
  std::vector<int64_t> shape;
  std::span<const uint8_t> data;
};

/// Writes `tensors` sorted by name; the file appears under `path` when it is whole. Equal tensors
/// give equal bytes.
Status writeSafetensors(const std::string &path, std::vector<SafetensorsOutput> tensors);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_SAFETENSORS_H
