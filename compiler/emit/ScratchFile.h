// A file for the time of a link: what goes to the linker, or comes from it.

#ifndef MOEC_COMPILER_EMIT_SCRATCHFILE_H
#define MOEC_COMPILER_EMIT_SCRATCHFILE_H

#include "runtime/core/Result.h"

#include <string>
#include <string_view>

namespace moec {

/// A file in the system's folder for temporary files, removed when this goes out of scope, also
/// when a signal ends the process.
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

/// Writes `bytes` over the file `path`, whatever it is.
Status writeFile(const std::string &path, std::string_view bytes);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_SCRATCHFILE_H
