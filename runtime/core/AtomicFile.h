// Outputs that are renamed when they are whole, and removed where they never will be.

#ifndef MOEC_RUNTIME_CORE_ATOMICFILE_H
#define MOEC_RUNTIME_CORE_ATOMICFILE_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moec {

/// A file that appears under its name when it is whole: written under a temporary name beside it,
/// renamed by commit(), removed where commit() was not reached, also on Ctrl-C (see
/// removeOutputsOnInterrupt). What a process that was killed has left is removed by the next that
/// writes the same file.
class AtomicFile {
public:
  /// `mode` are the permissions, before the umask. An output that cannot be written (no such
  /// directory, no permission, something that is no regular file in its place) is a usage error.
  static Result<AtomicFile> create(const std::string &path, unsigned mode = 0666);

  AtomicFile(AtomicFile &&other) noexcept;
  AtomicFile &operator=(AtomicFile &&) = delete;
  ~AtomicFile();

  int fd() const { return descriptor; }
  const std::string &path() const { return finalPath; }
  /// May be replaced by another file of this name before commit().
  const std::string &temporaryPath() const { return temporary; }

  Status append(std::span<const uint8_t> bytes);
  Status append(std::string_view text);
  /// May be called by several threads at once.
  Status writeAt(uint64_t offset, std::span<const uint8_t> bytes) const;
  /// Reserves disk for `bytes` from `offset` on, so that a full disk shows now and not later.
  Status reserve(uint64_t offset, uint64_t bytes) const;
  /// Opens what now has the temporary name, where another writer has put a file there.
  Status reopen();
  /// Closes the file and gives it its name.
  Status commit();

private:
  AtomicFile() = default;

  int descriptor = -1;
  int slot = -1; // in the table that the interrupt handler reads
  std::string finalPath;
  std::string temporary;
};

/// From now on SIGINT, SIGTERM and SIGHUP remove unfinished outputs and end the process with 130
/// (128 plus the signal's number for the others). For tools; a program with its own handlers calls
/// removeOutputs.
void removeOutputsOnInterrupt();
/// Removes unfinished outputs; may be called from a signal handler.
void removeOutputs();

/// What the operating system's error `number` means for an output: lack of space is a matter of
/// resources, all else is a usage error. `what` is what cannot be done with `path`.
Status outputFailure(int number, const std::string &path,
                     std::string_view what = "cannot be written");

/// Bytes that the file system of `path` (a file, existing or not, or a directory) has free for us.
Result<uint64_t> freeDiskBytes(const std::string &path);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_ATOMICFILE_H
