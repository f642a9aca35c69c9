// Files opened safely: regular files only, links checked, mapped or read with limits, outputs
// renamed when whole.

#ifndef MOEC_RUNTIME_CORE_FILE_H
#define MOEC_RUNTIME_CORE_FILE_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace moec {

/// A regular file open for reading. Directories, FIFOs, sockets and devices are refused, without
/// waiting for a writer.
class File {
public:
  /// Failures carry `code`: what an unreadable file means to the caller.
  static Result<File> open(const std::string &path, Code code = Code::Model);

  File(File &&other) noexcept
      : descriptor(std::exchange(other.descriptor, -1)), length(other.length),
        name(std::move(other.name)), code(other.code) {}
  File &operator=(File &&other) noexcept;
  ~File();

  int fd() const { return descriptor; }
  uint64_t size() const { return length; }
  const std::string &path() const { return name; }
  Code failureCode() const { return code; }

  /// Fills `into` from `offset`; a file that ends before that is a failure.
  Status readAt(uint64_t offset, std::span<uint8_t> into) const;

private:
  File(int descriptor, uint64_t length, std::string name, Code code)
      : descriptor(descriptor), length(length), name(std::move(name)), code(code) {}

  int descriptor = -1;
  uint64_t length = 0;
  std::string name;
  Code code = Code::Model;
};

/// A whole file mapped read-only, or nothing. Outlives the File it was made from.
class MappedFile {
public:
  static Result<MappedFile> map(const File &file);

  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept
      : base(std::exchange(other.base, nullptr)), length(std::exchange(other.length, 0)) {}
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();

  const uint8_t *data() const { return base; }
  uint64_t size() const { return length; }
  std::span<const uint8_t> bytes() const { return {base, length}; }

private:
  const uint8_t *base = nullptr;
  uint64_t length = 0;
};

/// The contents of a regular file of at most `limit` bytes.
Result<std::string> readFile(const std::string &path, uint64_t limit, Code code = Code::Model);

/// The path of the file that a model's index, or another file of `directory`, calls `relative`. The
/// name must be relative and stay inside as text. A link must end in a regular file inside the
/// directory, or inside `blobs/` of the same Hub cache repository; `followLinks` lifts that rule
/// for links.
Result<std::string> resolveInside(const std::string &directory, std::string_view relative,
                                  bool followLinks = false);

/// A file that appears under its name when it is whole: written under a temporary name beside it,
/// renamed by commit(), removed where commit() was not reached, also on Ctrl-C (see
/// removeOutputsOnInterrupt).
class AtomicFile {
public:
  /// `mode` are the permissions, before the umask.
  static Result<AtomicFile> create(const std::string &path, unsigned mode = 0666);

  AtomicFile(AtomicFile &&other) noexcept;
  AtomicFile &operator=(AtomicFile &&) = delete;
  ~AtomicFile();

  int fd() const { return descriptor; }
  const std::string &path() const { return finalPath; }
  const std::string &temporaryPath() const { return temporary; }

  Status append(std::span<const uint8_t> bytes);
  Status append(std::string_view text);
  /// May be called by several threads at once.
  Status writeAt(uint64_t offset, std::span<const uint8_t> bytes) const;
  /// Reserves disk for `bytes`, so that a full disk shows now and not later.
  Status reserve(uint64_t bytes) const;
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

/// Bytes that the file system of `path` (a file, existing or not, or a directory) has free for us.
Result<uint64_t> freeDiskBytes(const std::string &path);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_FILE_H
