// Pages from the kernel, large ones where that pays.

#include "runtime/core/PageBuffer.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace moec {

static constexpr int64_t hugePage = INT64_C(2) << 20;

PageBuffer::~PageBuffer() {
  if (base)
    munmap(base, capacity);
}

Status PageBuffer::ensure(int64_t bytes, std::string_view use) {
  if (bytes <= capacity && base)
    return {};
  if (base)
    munmap(base, capacity);
  base = nullptr;
  capacity = 0;
  int64_t unit = bytes >= hugePage ? hugePage : 4096;
  int64_t rounded = (bytes / unit + 1) * unit;
  void *pages = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED)
    return {Code::Resource,
            fmt::format("no memory for {}: {} MiB ({})", use, rounded >> 20, strerror(errno))};
  if (unit == hugePage)
    madvise(pages, rounded, MADV_HUGEPAGE);
  nodes.interleave(pages, rounded); // a failure was told when the model was opened
  base = static_cast<uint8_t *>(pages);
  capacity = rounded;
  return {};
}

} // namespace moec
