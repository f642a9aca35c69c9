// Files opened safely: regular files only, links checked, mapped or read with limits.

#ifndef MOEC_RUNTIME_CORE_FILE_H
#define MOEC_RUNTIME_CORE_FILE_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace moec {

/// What the operating system's error `number` means: Code::Resource for lack of memory, disk or
/// descriptors, `otherwise` for all else.
Code codeOfError(int number, Code otherwise);

/// A regular file open for reading. Directories, FIFOs, sockets and devices are refused, without
/// waiting for a writer.
class File {
public:
  /// Failures carry `code`: what an unreadable file means to the caller.
  static Result<File> open(const std::string &path, Code code = Code::Model);
  /// As open(), for a path that resolveInside() gave; fails where a part of it has become a link
  /// since.
  static Result<File> openResolved(const std::string &path, Code code = Code::Model);

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
  /// Takes `descriptor`, which is negative where an open has failed.
  static Result<File> take(int descriptor, const std::string &path, Code code);
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

/// Opens /dev/null in the place of a standard stream that was closed, so that no file gets its
/// number, and messages do not end up there.
void openStandardStreams();

/// The contents of a regular file of at most `limit` bytes.
Result<std::string> readFile(const std::string &path, uint64_t limit, Code code = Code::Model);

/// Whether both paths lead to one file, which is there.
bool isSameFile(const std::string &a, const std::string &b);

/// Whether `relative`, as text, names a file inside `directory`: relative, without `..` and control
/// characters.
Status checkRelativeName(const std::string &directory, std::string_view relative);

/// The path of the file that a model's index, or another file of `directory`, calls `relative`,
/// absolute and without links. The name must be one for checkRelativeName(). A link must end in a
/// regular file inside the directory, or inside `blobs/` of the same Hub cache repository;
/// `followLinks` lifts that rule for links.
Result<std::string> resolveInside(const std::string &directory, std::string_view relative,
                                  bool followLinks = false);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_FILE_H
