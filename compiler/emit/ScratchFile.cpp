// Temporary names from LLVM, which also removes the files on a signal.

#include "compiler/emit/ScratchFile.h"

#include "runtime/core/AtomicFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

using namespace moec;

Result<ScratchFile> ScratchFile::create(std::string_view suffix) {
  llvm::SmallString<128> directory;
  llvm::sys::path::system_temp_directory(/*ErasedOnReboot=*/true, directory);
  llvm::SmallString<128> model = directory;
  llvm::sys::path::append(model, "moec-%%%%%%%%" + std::string(suffix));
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::createUniqueFile(model, path))
    return outputFailure(error.value(), directory.str().str(), "cannot hold a temporary file");
  llvm::sys::RemoveFileOnSignal(path);
  return ScratchFile(path.str().str());
}

ScratchFile::ScratchFile(std::string path) : scratchPath(std::move(path)) {}

ScratchFile::ScratchFile(ScratchFile &&other) noexcept
    : scratchPath(std::exchange(other.scratchPath, std::string())) {}

ScratchFile::~ScratchFile() {
  if (scratchPath.empty())
    return;
  ::unlink(scratchPath.c_str());
  llvm::sys::DontRemoveFileOnSignal(scratchPath);
}

Status moec::writeFile(const std::string &path, std::string_view bytes) {
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0)
    return outputFailure(errno, path);
  int error = 0;
  while (!bytes.empty() && error == 0) {
    ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written >= 0)
      bytes.remove_prefix(static_cast<size_t>(written));
    else if (errno != EINTR)
      error = errno;
  }
  if (::close(file) != 0 && error == 0)
    error = errno;
  return error == 0 ? Status{} : outputFailure(error, path);
}
