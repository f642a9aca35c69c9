// Packed weights: whatever header and table say, an opened file is as long as they say, and proving
// it reads nothing outside. Digests over the damage are made to fit, or nothing would come past
// them.

#include "runtime/core/PackedFile.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  PackedHeader header;
  if (size < 2 * sizeof(uint64_t))
    return 0;
  std::memcpy(&header.blobBytes, data, sizeof(uint64_t));
  std::memcpy(&header.chunks, data + sizeof(uint64_t), sizeof(uint64_t));
  std::span<const uint8_t> body(data + 2 * sizeof(uint64_t), size - 2 * sizeof(uint64_t));
  uint64_t table = header.chunks <= body.size() / kPackedChunkBytes
                       ? header.chunks * kPackedChunkBytes
                       : body.size();
  Hasher hasher;
  hasher.add(body.last(table));
  header.table = hasher.finish();

  std::array<uint8_t, kPackedHeaderBytes> start = header.bytes();
  std::vector<uint8_t> bytes(start.begin(), start.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  Result<PackedFile> file = PackedFile::embedded(
      bytes, "fuzz", packedWeightsDigest(header.plan, header.sources), header.blobBytes);
  if (!file.ok())
    return 0;
  if (file->header().fileBytes() != bytes.size())
    std::abort();
  (void)file->verify({});
  return 0;
}
