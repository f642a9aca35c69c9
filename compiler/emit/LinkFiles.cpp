// Looks for the files that a link needs, and says what to install where there are none.

#include "compiler/emit/LinkFiles.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <algorithm>

using namespace moec;
namespace fs = llvm::sys::fs;
namespace path = llvm::sys::path;

bool moec::isOwn(llvm::StringRef architecture) {
  return llvm::Triple(llvm::sys::getProcessTriple()).getArchName() == architecture;
}

Result<std::string> moec::findLinkFiles(const std::string &program, llvm::StringRef architecture) {
  llvm::SmallString<256> folder(path::parent_path(path::parent_path(program)));
  path::append(folder, "lib", "moec", architecture);
  if (fs::exists(folder + "/libMoecCore.a"))
    return folder.str().str();
  if (isOwn(architecture))
    return Status{Code::Internal, "the runtime's archives are not in '" + folder.str().str() +
                                      "'; build or install moec again"};
  return Status{Code::Usage,
                ("no runtime to link " + architecture + " programs from in '" + folder +
                 "'; in moec's sources say test/setup.sh --aarch64 && test/build.sh aarch64, or "
                 "stop before linking with --emit=obj")
                    .str()};
}

Result<std::vector<std::string>> moec::listArchives(const std::string &linkFiles) {
  std::vector<std::string> archives;
  std::error_code error;
  for (fs::directory_iterator entry(linkFiles, error), end; entry != end && !error;
       entry.increment(error))
    if (path::extension(entry->path()) == ".a")
      archives.push_back(entry->path());
  if (error)
    return Status{Code::Internal, "cannot read '" + linkFiles + "': " + error.message()};
  std::sort(archives.begin(), archives.end());
  return archives;
}

Result<std::vector<std::string>> moec::exportedNames(const std::string &linkFiles) {
  std::string file = linkFiles + "/exports.txt";
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> text = llvm::MemoryBuffer::getFile(file);
  if (!text)
    return Status{Code::Internal, "cannot read '" + file + "': " + text.getError().message()};
  std::vector<std::string> names;
  llvm::SmallVector<llvm::StringRef> lines;
  (*text)->getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (llvm::StringRef line : lines)
    names.push_back(line.trim().str());
  return names;
}

static std::string debianName(llvm::StringRef architecture) {
  return architecture == "x86_64"    ? "amd64"
         : architecture == "aarch64" ? "arm64"
                                     : architecture.str();
}

Result<LibcFiles> moec::findLibc(const std::string &tripleText, LibcLink libc) {
  llvm::Triple triple(tripleText);
  std::string arch = triple.getArchName().str();
  bool x86 = triple.getArch() == llvm::Triple::x86_64;
  std::vector<std::string> folders = {"/usr/lib/" + arch + "-linux-gnu",
                                      "/usr/" + arch + "-linux-gnu/lib"};
  if (isOwn(arch))
    folders.insert(folders.end(), {"/usr/lib64", "/usr/lib"});
  std::string looked;
  for (const std::string &folder : folders) {
    // /usr/lib may hold another machine's files where /usr/lib64 is the place for ours.
    if (fs::exists(folder + "/crt1.o") &&
        (libc == LibcLink::Dynamic || fs::exists(folder + "/libc.a")))
      return LibcFiles{folder, x86 ? "/lib64/ld-linux-x86-64.so.2" : "/lib/ld-linux-aarch64.so.1"};
    looked += (looked.empty() ? "" : ", ") + folder;
  }
  return Status{Code::Usage, std::string("libc's development files are missing: no crt1.o") +
                                 (libc == LibcLink::Static ? " with libc.a" : "") + " in " +
                                 looked + "; install " +
                                 (isOwn(arch) ? "libc6-dev (or glibc-static)"
                                              : "libc6-dev-" + debianName(arch) + "-cross") +
                                 ", or stop before linking with --emit=obj"};
}
