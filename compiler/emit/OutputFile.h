// A file that appears under its name only when it is whole.

#ifndef MOEC_COMPILER_EMIT_OUTPUTFILE_H
#define MOEC_COMPILER_EMIT_OUTPUTFILE_H

#include "runtime/core/Result.h"

#include <string>
#include <string_view>

namespace moec {

/// Owns a temporary file beside `path`, removes it unless `commit` gave it that name, also when a
/// signal ends the process. Move-only.
class OutputFile {
public:
  /// Makes an empty temporary file. An output that cannot be written (no such directory, no
  /// permission, something that is no regular file in its place) is a usage error.
  static Result<OutputFile> create(std::string path);

  OutputFile(OutputFile &&other) noexcept;
  OutputFile &operator=(OutputFile &&other) noexcept;
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;
  ~OutputFile();

  /// What to write to; may be replaced by another file of this name before `commit`.
  const std::string &temporary() const { return temporaryPath; }
  const std::string &path() const { return finalPath; }

  /// Gives the file its name, in place of an older one.
  Status commit();

private:
  OutputFile(std::string path, std::string temporary);

  void discard();

  std::string finalPath;
  std::string temporaryPath; ///< empty after a commit or a move
};

/// A file in the system's folder for temporary files, removed when this goes out of scope.
class ScratchFile {
public:
  /// `suffix` ends the name, for readers that go by it (".o").
  static Result<ScratchFile> create(std::string_view suffix);

  ScratchFile(ScratchFile &&other) noexcept;
  ScratchFile &operator=(ScratchFile &&) = delete;
  ScratchFile(const ScratchFile &) = delete;
  ScratchFile &operator=(const ScratchFile &) = delete;
  ~ScratchFile();

  const std::string &path() const { return scratchPath; }

private:
  explicit ScratchFile(std::string path);

  std::string scratchPath;
};

/// Writes `bytes` over the file `path`.
Status writeFile(const std::string &path, std::string_view bytes);

/// Writes text for people: to stdout where `path` is "-", straight into devices and pipes, else
/// by way of an `OutputFile`.
Status writeText(const std::string &path, std::string_view text);

/// What the operating system's error `number` means for `action` on `path`: lack of space is a
/// matter of resources, all else is a usage error.
Status outputError(int number, std::string_view action, const std::string &path);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_OUTPUTFILE_H
