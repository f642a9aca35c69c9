// Temporary names, renaming, and what the operating system's errors mean for an output.

#include "compiler/emit/OutputFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace moec;

Status moec::outputError(int number, std::string_view action, const std::string &path) {
  bool lacksSpace = number == ENOSPC || number == EDQUOT || number == EFBIG || number == ENOMEM;
  std::string message = std::string(action) + " '" + path + "': " + std::strerror(number);
  return {lacksSpace ? Code::Resource : Code::Usage, std::move(message)};
}

static bool existsAsSpecialFile(const std::string &path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

Result<OutputFile> OutputFile::create(std::string path) {
  if (path.empty())
    return Status{Code::Usage, "the output has no name; give one with -o"};
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode))
      return Status{Code::Usage, "cannot write '" + path + "': it is a directory"};
    if (!S_ISREG(info.st_mode))
      return Status{Code::Usage, "cannot write '" + path + "': it is not a regular file"};
    if (::access(path.c_str(), W_OK) != 0)
      return outputError(errno, "cannot write", path);
  }
  llvm::StringRef name = llvm::sys::path::filename(path);
  llvm::SmallString<128> model(llvm::sys::path::parent_path(path));
  llvm::sys::path::append(model, "." + name + ".%%%%%%%%");
  llvm::SmallString<128> temporary;
  if (std::error_code error = llvm::sys::fs::createUniqueFile(model, temporary))
    return outputError(error.value(), "cannot write", path);
  llvm::sys::RemoveFileOnSignal(temporary);
  return OutputFile(std::move(path), temporary.str().str());
}

OutputFile::OutputFile(std::string path, std::string temporary)
    : finalPath(std::move(path)), temporaryPath(std::move(temporary)) {}

OutputFile::OutputFile(OutputFile &&other) noexcept
    : finalPath(std::move(other.finalPath)),
      temporaryPath(std::exchange(other.temporaryPath, std::string())) {}

OutputFile &OutputFile::operator=(OutputFile &&other) noexcept {
  if (this != &other) {
    discard();
    finalPath = std::move(other.finalPath);
    temporaryPath = std::exchange(other.temporaryPath, std::string());
  }
  return *this;
}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() {
  if (temporaryPath.empty())
    return;
  ::unlink(temporaryPath.c_str());
  llvm::sys::DontRemoveFileOnSignal(temporaryPath);
  temporaryPath.clear();
}

Status OutputFile::commit() {
  if (::rename(temporaryPath.c_str(), finalPath.c_str()) != 0)
    return outputError(errno, "cannot write", finalPath);
  llvm::sys::DontRemoveFileOnSignal(temporaryPath);
  temporaryPath.clear();
  return {};
}

Result<ScratchFile> ScratchFile::create(std::string_view suffix) {
  llvm::SmallString<128> directory;
  llvm::sys::path::system_temp_directory(/*ErasedOnReboot=*/true, directory);
  llvm::SmallString<128> model = directory;
  llvm::sys::path::append(model, "moec-%%%%%%%%" + std::string(suffix));
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::createUniqueFile(model, path))
    return outputError(error.value(), "cannot make a temporary file in", directory.str().str());
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

/// Writes all of `bytes` to `file`; 0, or the operating system's error.
static int writeAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

Status moec::writeFile(const std::string &path, std::string_view bytes) {
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0)
    return outputError(errno, "cannot write", path);
  int error = writeAll(file, bytes);
  if (::close(file) != 0 && error == 0)
    error = errno;
  return error == 0 ? Status{} : outputError(error, "cannot write", path);
}

Status moec::writeText(const std::string &path, std::string_view text) {
  if (path == "-") {
    int error = writeAll(STDOUT_FILENO, text);
    // A reader that has seen enough is not an error.
    return error == 0 || error == EPIPE ? Status{} : outputError(error, "cannot write", "stdout");
  }
  if (existsAsSpecialFile(path))
    return writeFile(path, text);
  Result<OutputFile> output = OutputFile::create(path);
  if (!output.ok())
    return output.status();
  if (Status status = writeFile(output->temporary(), text); !status.ok())
    return status;
  return output->commit();
}
