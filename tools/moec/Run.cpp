// A program of the cache takes the place of moec.

#include "tools/moec/Run.h"

#include "runtime/core/File.h"
#include "tools/moec/Cache.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <unistd.h>

using namespace moec;
namespace fs = std::filesystem;

Status moec::run(const CompileRequest &request, const std::vector<std::string> &arguments) {
  Result<std::string> program = cachedProgram(request);
  if (!program.ok())
    return program.status();
  std::error_code error;
  // The program's name in messages.
  std::string shown = "moec run " + fs::canonical(request.input, error).filename().string();
  std::vector<char *> words = {shown.data()};
  for (const std::string &argument : arguments)
    words.push_back(const_cast<char *>(argument.c_str()));
  words.push_back(nullptr);
  ::execv(program->c_str(), words.data());
  if (errno == ENOEXEC) { // damaged: made anew
    fs::remove(*program, error);
    program = cachedProgram(request);
    if (!program.ok())
      return program.status();
    ::execv(program->c_str(), words.data());
  }
  return {codeOfError(errno, Code::Usage),
          fmt::format("cannot start '{}': {}{}", *program, strerror(errno), kCacheHint)};
}
