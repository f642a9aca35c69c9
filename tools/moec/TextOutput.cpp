// Tells stdout, devices and files apart.

#include "tools/moec/TextOutput.h"

#include "compiler/emit/ScratchFile.h"
#include "runtime/core/AtomicFile.h"

#include <cerrno>
#include <cstdio>
#include <sys/stat.h>

using namespace moec;

static bool existsAsSpecialFile(const std::string &path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

void moec::writeMessage(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

Status moec::writeText(const std::string &path, std::string_view text) {
  if (path == "-") {
    bool written =
        std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    // A reader that has seen enough is not an error.
    return written || errno == EPIPE ? Status{} : outputFailure(errno, "stdout");
  }
  if (existsAsSpecialFile(path))
    return writeFile(path, text);
  Result<AtomicFile> output = AtomicFile::create(path);
  if (!output.ok())
    return output.status();
  if (Status status = output->append(text); !status.ok())
    return status;
  return output->commit();
}
