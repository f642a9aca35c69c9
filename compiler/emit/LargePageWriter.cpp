// Cuts pieces at the bounds of large pages, and joins what belongs into one.

#include "compiler/emit/LargePageWriter.h"

#include <algorithm>

using namespace moec;

static constexpr uint64_t kLargePageBytes = 2 << 20;

Status LargePageWriter::write(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    uint64_t size = std::min(kLargePageBytes - offset % kLargePageBytes, bytes.size());
    if (Status status = writePart(offset, bytes.first(size)); !status.ok())
      return status;
    offset += size;
    bytes = bytes.subspan(size);
  }
  return {};
}

/// Takes `bytes`, which lie within one stretch.
Status LargePageWriter::writePart(uint64_t offset, std::span<const uint8_t> bytes) {
  const uint64_t page = offset - offset % kLargePageBytes, first = std::max(page, begin),
                 size = std::min(page + kLargePageBytes, end) - first;
  if (bytes.size() == size)
    return file.writeAt(offset, bytes);
  Stretch whole;
  {
    std::lock_guard<std::mutex> lock(mutex);
    Stretch &stretch = open[first];
    stretch.bytes.resize(size);
    std::copy(bytes.begin(), bytes.end(), stretch.bytes.begin() + (offset - first));
    stretch.filled += bytes.size();
    if (stretch.filled < size)
      return {};
    whole = std::move(stretch);
    open.erase(first);
  }
  return file.writeAt(first, whole.bytes);
}
