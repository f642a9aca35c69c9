// The file of packed weights that lies beside a program, or inside it: its format, and how the
// runtime opens it.

#ifndef MOEC_RUNTIME_CORE_PACKEDFILE_H
#define MOEC_RUNTIME_CORE_PACKEDFILE_H

#include "runtime/core/Digest.h"
#include "runtime/core/File.h"
#include "runtime/core/Result.h"

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// The file is
///
///     header    kPackedHeaderBytes, below
///     blob      what a step reads, `blobBytes`, a multiple of 64
///     chunks    `chunks` times 40 bytes: u64 length, then SHA-256 of that many bytes of the blob;
///               the lengths add up to `blobBytes`
///
/// Numbers are stored lowest byte first. The header is
///
///     at   0    8 bytes   "moecpack"
///     at   8    u64       format, 1
///     at  16    u64       blobBytes
///     at  24    u64       chunks
///     at  32    32 bytes  plan: digest of how the weights are laid out
///     at  64    32 bytes  sources: digest of the files they were made from (packSourcesDigest)
///     at  96    32 bytes  SHA-256 of the chunks' table
///     at 128    32 bytes  SHA-256 of the header's bytes 0 to 128
///     at 160    zeros
///
/// Equal plans and sources give equal bytes.
inline constexpr uint64_t kPackedHeaderBytes = 4096;
inline constexpr uint64_t kPackedChunkBytes = 40;
inline constexpr uint64_t kPackedFormat = 1;

/// What a header says.
struct PackedHeader {
  uint64_t blobBytes = 0;
  uint64_t chunks = 0;
  Digest plan = {};
  Digest sources = {};
  Digest table = {};

  uint64_t fileBytes() const { return kPackedHeaderBytes + blobBytes + chunks * kPackedChunkBytes; }
  std::array<uint8_t, kPackedHeaderBytes> bytes() const;
  /// Reads the header of `file` and checks it against the file's length. The failure says what is
  /// wrong, not where.
  static Result<PackedHeader> read(const File &file);
};

/// A chunk of the blob and its digest.
struct PackedChunk {
  uint64_t bytes = 0;
  Digest digest = {};
};

/// The table of chunks as it is stored.
std::vector<uint8_t> packedChunkTable(const std::vector<PackedChunk> &chunks);

/// One source file's part of a source digest.
struct SourceDigest {
  std::string path; ///< relative to the model's directory
  uint64_t bytes = 0;
  Digest digest = {}; ///< sampleDigest of the file
};

/// Digest of all source files of a model, in the given order.
Digest packSourcesDigest(const std::vector<SourceDigest> &sources);

/// What ties a program to its weights, as the manifest spells it (`weights.digest`): plan and
/// sources.
std::string packedWeightsDigest(const Digest &plan, const Digest &sources);

/// A file of packed weights in memory.
class PackedFile {
public:
  /// Maps `path`. Code::Mismatch where it is missing, no such file, cut short, damaged in its
  /// header, or made for another program: `digest` and `blobBytes` are what the program's manifest
  /// calls for.
  static Result<PackedFile> open(const std::string &path, std::string_view digest,
                                 uint64_t blobBytes);
  /// The same for `bytes` that are a part of the program `path`.
  static Result<PackedFile> embedded(std::span<const uint8_t> bytes, const std::string &path,
                                     std::string_view digest, uint64_t blobBytes);

  /// The blob, page-aligned on systems with pages of 4 KiB, else 4096-aligned.
  const uint8_t *data() const { return bytes.data() + kPackedHeaderBytes; }
  const PackedHeader &header() const { return head; }
  const std::string &path() const { return name; }

  /// Reads the whole blob and compares the digests of its chunks; `progress` (may be empty) gets a
  /// share from 0 to 1.
  Status verify(const std::function<void(double)> &progress) const;

private:
  static Result<PackedFile> view(std::span<const uint8_t> bytes, const std::string &path,
                                 std::string_view digest, uint64_t blobBytes,
                                 std::string_view advice);

  MappedFile mapped; ///< holds nothing where the bytes are the program's
  std::span<const uint8_t> bytes;
  PackedHeader head;
  std::string name;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_PACKEDFILE_H
