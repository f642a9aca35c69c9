// Runs ptxas on files of its own, and reads its report.

#include "compiler/emit/Ptxas.h"

#include "compiler/emit/ScratchFile.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"

#include <cstdlib>
#include <optional>

using namespace moec;
using llvm::StringRef;

static constexpr char kElfMagic[] = "\x7f"
                                    "ELF"; ///< what a cubin begins with

Result<std::string> moec::findPtxas() {
  const char *home = std::getenv("CUDA_HOME");
  const std::string folder = std::string(home && *home ? home : "/usr/local/cuda") + "/bin";
  if (llvm::ErrorOr<std::string> found = llvm::sys::findProgramByName("ptxas"))
    return *found;
  if (llvm::ErrorOr<std::string> found = llvm::sys::findProgramByName("ptxas", {folder}))
    return *found;
  return Status{Code::Usage, "there is no ptxas, neither on PATH nor in '" + folder +
                                 "'; install the CUDA toolkit"};
}

static std::string readAll(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  return buffer ? (*buffer)->getBuffer().str() : std::string();
}

Result<Ptxas> moec::identifyPtxas(std::string path) {
  Result<ScratchFile> report = ScratchFile::create(".txt");
  if (!report.ok())
    return report.status();
  const StringRef words[] = {path, "--version"};
  const std::optional<StringRef> redirects[] = {StringRef(), report->path(), report->path()};
  std::string error;
  const int status = llvm::sys::ExecuteAndWait(path, words, std::nullopt, redirects, 0, 0, &error);
  const std::string said = readAll(report->path());
  StringRef release = StringRef(said).split("release ").second;
  int major = 0, minor = 0;
  if (status != 0 || release.consumeInteger(10, major) || !release.consume_front(".") ||
      release.consumeInteger(10, minor))
    return Status{Code::Usage, "'" + path + "' does not say which CUDA release it is of: " +
                                   (error.empty() ? StringRef(said).rtrim().str() : error)};
  return Ptxas{std::move(path), said, major * 1000 + minor * 10};
}

/// The number in front of `what` in `line`.
static int64_t numberBefore(StringRef line, StringRef what) {
  int64_t number = 0;
  line.take_front(line.find(what)).rtrim().rsplit(' ').second.getAsInteger(10, number);
  return number;
}

std::vector<KernelResources> moec::parseResources(std::string_view report) {
  std::vector<KernelResources> kernels;
  llvm::SmallVector<StringRef> lines;
  StringRef(report).split(lines, '\n');
  for (StringRef line : lines) {
    if (line.contains("Compiling entry function")) {
      kernels.emplace_back().name = line.split('\'').second.split('\'').first.str();
      continue;
    }
    if (kernels.empty())
      continue;
    KernelResources &kernel = kernels.back();
    if (line.contains("bytes stack frame")) {
      kernel.stackBytes = numberBefore(line, " bytes stack frame");
      kernel.spillBytes =
          numberBefore(line, " bytes spill stores") + numberBefore(line, " bytes spill loads");
    } else if (line.contains(" registers")) {
      kernel.registers = numberBefore(line, " registers");
      if (line.contains(" bytes smem"))
        kernel.sharedBytes = numberBefore(line, " bytes smem");
    }
  }
  return kernels;
}

Result<Cubin> moec::assemblePtx(const Ptxas &ptxas, std::string_view ptx,
                                std::string_view architecture) {
  Result<ScratchFile> input = ScratchFile::create(".ptx"), output = ScratchFile::create(".cubin"),
                      report = ScratchFile::create(".txt");
  for (const Result<ScratchFile> *file : {&input, &output, &report})
    if (!file->ok())
      return file->status();
  if (Status status = writeFile(input->path(), ptx); !status.ok())
    return status;
  const std::string target = "-arch=" + std::string(architecture);
  const StringRef words[] = {ptxas.path, "-v", target, input->path(), "-o", output->path()};
  const std::optional<StringRef> redirects[] = {StringRef(), report->path(), report->path()};
  std::string error;
  const int status =
      llvm::sys::ExecuteAndWait(ptxas.path, words, std::nullopt, redirects, 0, 0, &error);
  const std::string said = readAll(report->path());
  // It may not know the architecture, or not the PTX that is the oldest to have it.
  if (StringRef(said).contains("'gpu-name'") || StringRef(said).contains("Unsupported .version"))
    return Status{Code::Usage, "'" + ptxas.path + "' does not know " + std::string(architecture) +
                                   "; install a newer CUDA toolkit"};
  if (status != 0)
    return Status{Code::Internal, "'" + ptxas.path + "' does not assemble the kernels for " +
                                      std::string(architecture) + ": " +
                                      (error.empty() ? StringRef(said).rtrim().str() : error)};
  std::string code = readAll(output->path());
  if (!StringRef(code).starts_with(kElfMagic))
    return Status{Code::Internal, "'" + ptxas.path + "' ends well and has written no cubin for " +
                                      std::string(architecture)};
  return Cubin{std::move(code), said};
}
