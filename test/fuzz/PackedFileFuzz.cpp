// Packed weights: whatever header and table say, an opened file is as long as they say, and proving
// it reads nothing outside. Digests are made to fit, or nothing would come past them.

#include "runtime/core/PackedFile.h"

#include <cstdlib>
#include <cstring>

using namespace moec;

static Digest digestOf(std::span<const uint8_t> bytes) {
  Hasher hasher;
  hasher.add(bytes);
  return hasher.finish();
}

/// data: u8 number of chunks, u8 whether blobBytes is right, then blob and table.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2)
    return 0;
  PackedHeader header;
  header.chunks = data[0];
  std::vector<uint8_t> body(data + 2, data + size);
  uint64_t tableBytes = std::min<uint64_t>(header.chunks * kPackedChunkBytes, body.size());
  uint64_t blobBytes = body.size() - tableBytes;
  header.blobBytes = data[1] % 8 ? blobBytes : blobBytes + data[1];
  // The chunks' digests, as far as their lengths are possible.
  uint64_t offset = 0;
  for (uint64_t at = blobBytes; at + kPackedChunkBytes <= body.size(); at += kPackedChunkBytes) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, &body[at], sizeof bytes);
    if (bytes > blobBytes - offset)
      break;
    Digest digest = digestOf(std::span(body).subspan(offset, bytes));
    std::memcpy(&body[at + sizeof bytes], digest.data(), digest.size());
    offset += bytes;
  }
  header.table = digestOf(std::span(body).last(tableBytes));

  std::array<uint8_t, kPackedHeaderBytes> start = header.bytes();
  std::vector<uint8_t> bytes(start.begin(), start.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  Result<PackedFile> file = PackedFile::embedded(
      bytes, "fuzz", packedWeightsDigest(header.plan, header.sources), header.blobBytes);
  if (!file.ok())
    return 0;
  if (file->header().fileBytes() != bytes.size())
    std::abort();
  if (file->verify({}).ok() && offset != blobBytes)
    std::abort();
  return 0;
}
