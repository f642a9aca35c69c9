// Writes a file so that the system caches it in large pages.

#ifndef MOEC_COMPILER_EMIT_LARGEPAGEWRITER_H
#define MOEC_COMPILER_EMIT_LARGEPAGEWRITER_H

#include "runtime/core/AtomicFile.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

namespace moec {

/// Takes pieces of a file in any order and writes each stretch that a large page covers with one
/// call, when all of it is there. Linux then keeps it in one page (file systems with large folios:
/// XFS, Btrfs, ext4 since 6.16), and a program that maps the file looks up 512 times fewer of them.
class LargePageWriter {
public:
  /// Bytes [begin, end) of `file` will be written, each once. `file` must outlive the writer.
  LargePageWriter(const AtomicFile &file, uint64_t begin, uint64_t end)
      : file(file), begin(begin), end(end) {}

  /// Called by several threads at once. Holds back at most the ends of `bytes`.
  Status write(uint64_t offset, std::span<const uint8_t> bytes);

private:
  /// A stretch of which a part is still to come.
  struct Stretch {
    std::vector<uint8_t> bytes;
    uint64_t filled = 0;
  };

  Status writePart(uint64_t offset, std::span<const uint8_t> bytes);

  const AtomicFile &file;
  const uint64_t begin, end;
  std::mutex mutex;                 // guards what follows
  std::map<uint64_t, Stretch> open; // by where they begin
};

} // namespace moec

#endif // MOEC_COMPILER_EMIT_LARGEPAGEWRITER_H
