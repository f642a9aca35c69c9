// Writing and checking the header of packed weights, and verifying the rest.

#include "runtime/core/PackedFile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

using namespace moec;

static constexpr std::string_view kMagic = "moecpack";
static constexpr size_t kHeaderDigestAt = 128;

static void store64(uint8_t *at, uint64_t value) {
  for (int index = 0; index < 8; ++index)
    at[index] = static_cast<uint8_t>(value >> (8 * index));
}

static uint64_t load64(const uint8_t *at) {
  uint64_t value = 0;
  for (int index = 7; index >= 0; --index)
    value = value << 8 | at[index];
  return value;
}

static Digest sha256(std::span<const uint8_t> bytes) {
  Hasher hasher;
  hasher.add(bytes);
  return hasher.finish();
}

std::array<uint8_t, kPackedHeaderBytes> PackedHeader::bytes() const {
  std::array<uint8_t, kPackedHeaderBytes> page = {};
  std::copy(kMagic.begin(), kMagic.end(), page.begin());
  store64(&page[8], kPackedFormat);
  store64(&page[16], blobBytes);
  store64(&page[24], chunks);
  std::copy(plan.begin(), plan.end(), &page[32]);
  std::copy(sources.begin(), sources.end(), &page[64]);
  std::copy(table.begin(), table.end(), &page[96]);
  Digest own = sha256(std::span(page).first(kHeaderDigestAt));
  std::copy(own.begin(), own.end(), &page[kHeaderDigestAt]);
  return page;
}

/// Reads the header of a file of `length` bytes that begins with `start`; the failure says what is
/// wrong with it.
static Result<PackedHeader> parseHeader(std::span<const uint8_t> start, uint64_t length) {
  auto refuse = [](std::string why) { return Status{Code::Mismatch, std::move(why)}; };
  if (start.size() < kPackedHeaderBytes)
    return refuse(fmt::format("holds {} bytes, too few for packed weights", length));
  const uint8_t *page = start.data();
  if (!std::equal(kMagic.begin(), kMagic.end(), page))
    return refuse("is not a file of packed weights");
  if (load64(page + 8) != kPackedFormat)
    return refuse(fmt::format("has format {}, wanted {}", load64(page + 8), kPackedFormat));
  Digest own = sha256(start.first(kHeaderDigestAt));
  if (!std::equal(own.begin(), own.end(), page + kHeaderDigestAt))
    return refuse("has a damaged header");
  PackedHeader header;
  header.blobBytes = load64(page + 16);
  header.chunks = load64(page + 24);
  std::copy_n(page + 32, 32, header.plan.begin());
  std::copy_n(page + 64, 32, header.sources.begin());
  std::copy_n(page + 96, 32, header.table.begin());
  uint64_t body = length - kPackedHeaderBytes;
  if (header.chunks > body / kPackedChunkBytes ||
      header.blobBytes != body - header.chunks * kPackedChunkBytes) {
    bool huge = header.blobBytes > uint64_t(1) << 62 || header.chunks > uint64_t(1) << 50;
    return refuse(huge ? std::string("has a damaged header")
                       : fmt::format("holds {} bytes, wanted {}", length, header.fileBytes()));
  }
  return header;
}

Result<PackedHeader> PackedHeader::read(const File &file) {
  std::vector<uint8_t> start(std::min(file.size(), kPackedHeaderBytes));
  if (Status status = file.readAt(0, start); !status.ok())
    return status;
  return parseHeader(start, file.size());
}

std::vector<uint8_t> moec::packedChunkTable(const std::vector<PackedChunk> &chunks) {
  std::vector<uint8_t> table(chunks.size() * kPackedChunkBytes);
  for (size_t index = 0; index < chunks.size(); ++index) {
    uint8_t *entry = &table[index * kPackedChunkBytes];
    store64(entry, chunks[index].bytes);
    std::copy(chunks[index].digest.begin(), chunks[index].digest.end(), entry + 8);
  }
  return table;
}

Digest moec::packSourcesDigest(const std::vector<SourceDigest> &sources) {
  Hasher hasher;
  hasher.addField("moec sources 1");
  hasher.add(static_cast<uint64_t>(sources.size()));
  for (const SourceDigest &source : sources) {
    hasher.addField(source.path);
    hasher.add(std::span<const uint8_t>(source.digest));
  }
  return hasher.finish();
}

std::string moec::packedWeightsDigest(const Digest &plan, const Digest &sources) {
  Hasher hasher;
  hasher.addField("moec weights 1");
  hasher.add(std::span<const uint8_t>(plan));
  hasher.add(std::span<const uint8_t>(sources));
  return digestText(hasher.finish());
}

Result<PackedFile> PackedFile::view(std::span<const uint8_t> bytes, const std::string &path,
                                    std::string_view digest, uint64_t blobBytes,
                                    std::string_view advice) {
  Result<PackedHeader> header = parseHeader(bytes, bytes.size());
  Status status = header.ok() ? Status{} : header.status();
  if (header.ok() && (packedWeightsDigest(header->plan, header->sources) != digest ||
                      header->blobBytes != blobBytes))
    status = {Code::Mismatch, "holds the weights of another program"};
  if (!status.ok())
    return Status{status.code, fmt::format("{}: {}; {}", path, status.message, advice)};
  PackedFile packed;
  packed.bytes = bytes;
  packed.head = *header;
  packed.name = path;
  return packed;
}

Result<PackedFile> PackedFile::open(const std::string &path, std::string_view digest,
                                    uint64_t blobBytes) {
  Result<File> file = File::open(path, Code::Mismatch);
  if (!file.ok())
    return file.status();
  Result<MappedFile> mapped = MappedFile::map(*file);
  if (!mapped.ok())
    return mapped.status();
  Result<PackedFile> packed =
      view(mapped->bytes(), path, digest, blobBytes,
           "compile the model again, or name the right file with --weights-file");
  if (packed.ok())
    packed->mapped = std::move(*mapped);
  return packed;
}

Result<PackedFile> PackedFile::embedded(std::span<const uint8_t> bytes, const std::string &path,
                                        std::string_view digest, uint64_t blobBytes) {
  return view(bytes, path, digest, blobBytes, "compile the model again");
}

Status PackedFile::verify(const std::function<void(double)> &progress) const {
  std::span<const uint8_t> blob(data(), head.blobBytes);
  std::span<const uint8_t> table(data() + head.blobBytes, head.chunks * kPackedChunkBytes);
  if (sha256(table) != head.table)
    return {Code::Mismatch, fmt::format("{}: its table of digests is damaged", name)};
  uint64_t offset = 0;
  for (; !table.empty(); table = table.subspan(kPackedChunkBytes)) {
    uint64_t bytes = load64(table.data());
    if (bytes > blob.size() - offset)
      return {Code::Mismatch, fmt::format("{}: its table of digests is damaged", name)};
    Digest found = sha256(blob.subspan(offset, bytes));
    if (!std::equal(found.begin(), found.end(), table.data() + 8))
      return {Code::Mismatch,
              fmt::format("{}: bytes {} to {} of the weights are not those that were packed; "
                          "delete the file and compile the model again",
                          name, offset, offset + bytes)};
    offset += bytes;
    if (progress)
      progress(static_cast<double>(offset) / static_cast<double>(blob.size()));
  }
  if (offset != blob.size())
    return {Code::Mismatch, fmt::format("{}: its table of digests is damaged", name)};
  return {};
}
